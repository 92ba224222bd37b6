"""What every test has: the servers that the option `--servers` names."""

pytest_plugins = ["tests.servers.plugin"]
