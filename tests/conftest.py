"""What every test has: the servers that the option `--servers` names, and virtual time for those who ask for it."""

pytest_plugins = ["tests.servers.plugin", "tests.virtual_time"]
