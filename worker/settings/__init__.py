"""Settings: one value, read once at start, immutable afterwards.

A group a module; every field says its unit, its default and why. `loading` reads, `showing` prints.
"""

from worker.settings.elasticsearch import ElasticsearchSettings, IndexSettings
from worker.settings.embedding import EmbeddingSettings, LongTexts
from worker.settings.kafka import KafkaSecurity, KafkaSettings, SaslMechanism, SecurityProtocol
from worker.settings.loading import load_settings
from worker.settings.metrics import MetricsSettings
from worker.settings.root import Settings
from worker.settings.sources import SourceSettings
from worker.settings.worker import (
    BatchSettings,
    DeliverySettings,
    LogFormat,
    LogSettings,
    ServerSettings,
)
from worker.stages.start_offsets import OffsetPolicy

__all__ = [
    "BatchSettings",
    "DeliverySettings",
    "ElasticsearchSettings",
    "EmbeddingSettings",
    "IndexSettings",
    "KafkaSecurity",
    "KafkaSettings",
    "LogFormat",
    "LogSettings",
    "LongTexts",
    "MetricsSettings",
    "OffsetPolicy",
    "SaslMechanism",
    "SecurityProtocol",
    "ServerSettings",
    "Settings",
    "SourceSettings",
    "load_settings",
]
