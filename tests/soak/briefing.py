"""What somebody who is on call gets: the page, and how to come at everything."""

from typing import Any, Final

from tests.repo.promql import DEPLOY
from tests.soak.rig import FASTER, Rig

RUNBOOK: Final = DEPLOY / "README.md"
_TEXT: Final = """
You are on call for this cluster, and this has just come:

{alerts}

The runbook is {runbook}; it names files below the folder of the repository, {repository}.

    . {folder}/env

sets the runbook's variables (there is no $CONNECT here), SYNCLINE_CONFIG, and a PATH with syncline, rollout and Kafka's
tools; curl logs in to Elasticsearch as an administrator.

  Prometheus          {prometheus}
                      its rules are those of deploy/alerts, an hour of them taking {minutes} minutes
  Elasticsearch       {elasticsearch} (an administrator's login and the authority: {folder}/admin)
  Kafka               {kafka}
  workers             {workers}
  their logs          {folder}/logs
  their settings      {folder}/syncline.yaml (the ConfigMap)
  their credentials   {folder}/secrets (the Secret; what is written there, the workers have at once)
  key of the Job that runs `syncline apply`
                      {folder}/admin/apply.key

There is no Kubernetes here. Instead of

  kubectl get pods                       rollout status
  kubectl logs POD                       the files of the logs
  kubectl exec POD -- syncline ...       syncline ..., and syncline status --worker URL for each worker's URL
  kubectl apply (a changed ConfigMap)    edit syncline.yaml, then: rollout apply
  kubectl rollout history                rollout history
  kubectl rollout undo                   rollout undo
  kubectl rollout restart                rollout restart
  kubectl scale                          rollout scale N
  kubectl create or patch secret         write the file
"""


def briefing(built: Rig) -> str:
    return _TEXT.format(
        alerts="\n\n".join(_page(alert) for alert in built.prometheus.alerts() if alert["state"] == "firing"),
        runbook=RUNBOOK,
        repository=RUNBOOK.parents[1],
        folder=built.folder,
        prometheus=built.prometheus.url,
        minutes=60 // FASTER,
        elasticsearch=built.elasticsearch_tls,
        kafka=built.kafka,
        workers=", ".join(pod.url for pod in built.deployment.wanted),
    )


def _page(alert: dict[str, Any]) -> str:
    """What Alertmanager would send."""
    about = alert["annotations"]
    return (
        f"  [{alert['labels']['severity']}] {alert['labels']['alertname']}: {about['summary']}\n"
        f"  {about['description']}\n  Runbook: {about['runbook_url']}"
    )
