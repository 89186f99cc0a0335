"""The failure modes that this design is known to have, as data: NAME.yaml, one file a mode.

catalogue.py reads them; prove.py breaks a system by the experiment of each and looks whether its alert fired and
cleared in time, by the rules of dashboards/prometheus in a real Prometheus. Imports `chaos.run`.
"""
