"""Other people's chat systems: the port `Target`, the systems behind it, and the run that breaks and judges them.

One experiment file names the load, and for each target its faults, the checks that apply and the promise that each
check holds it to. The faults, the engine, the exchange format and the verdict are those of our own runs. May import
what `chaos` may; `chaos/targets/systems` imports only the port.
"""
