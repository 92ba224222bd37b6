"""What every test has: the servers that the option `--servers` names, and virtual time for those who ask for it."""

from hypothesis import HealthCheck, Phase, settings

pytest_plugins = [
    "tests.servers.plugin",
    "tests.left_out",
    "tests.extras",
    "tests.virtual_time",
    "tests.manifests.plugin",
    "tests.image.plugin",
]

# A loaded machine is slow now and then; how fast an example runs is not what a property says.
settings.register_profile("syncline", deadline=None)
# Few examples, the same for every mutant, and no search for a smaller one: that a test fails is all that is asked.
# A loaded machine must not fail one: that would count as a mutant found.
settings.register_profile(
    "mutation",
    deadline=None,
    max_examples=25,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("syncline")
