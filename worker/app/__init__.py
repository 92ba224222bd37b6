"""The composition root: the only place that builds adapters, puts them together and closes them, a module a command.

Heavy libraries (torch above all) load inside the functions that need them, so that `syncline --help` is quick.
"""
