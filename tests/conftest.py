"""What every test has: the servers that the option `--servers` names, and virtual time for those who ask for it."""

from hypothesis import settings

pytest_plugins = ["tests.servers.plugin", "tests.virtual_time"]

# A loaded machine is slow now and then; how fast an example runs is not what a property says.
settings.register_profile("syncline", deadline=None)
settings.load_profile("syncline")
