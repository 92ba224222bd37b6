from tests.repo.promql import RULE_FILES
from tests.servers.prometheus.rules import faster


def test_windows_and_waits_are_divided_and_nothing_else() -> None:
    rules = [rule for group in faster(RULE_FILES, 60)["groups"] for rule in group["rules"]]
    told = {rule.get("alert", rule.get("record")): rule for rule in rules}
    assert told["SynclineHalted"]["for"] == "2000ms"
    assert told["syncline:freshness_missed:ratio_rate3d"]["expr"].count("[4320000ms]") == 2
    growing = told["SynclineLagGrowing"]["expr"]
    assert "[30000ms]" in growing
    assert "offset 30000ms" in growing
    assert "> 1000" in growing
    assert "> 5\n" in told["SynclineNoProgress"]["expr"]
    assert "86400" in told["SynclineApiKeyExpires"]["expr"]
