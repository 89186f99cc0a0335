"""Starting, watching and stopping a system: which processes, where, with which servers. Imports the product only to
launch it.
"""
