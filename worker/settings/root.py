"""All settings as one value."""

import re
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from worker.settings.elasticsearch import ElasticsearchSettings, IndexSettings
from worker.settings.kafka import KafkaSettings
from worker.settings.sources import SourceSettings
from worker.settings.worker import (
    BatchSettings,
    DeliverySettings,
    EmbeddingSettings,
    LogSettings,
    ServerSettings,
    check_delivery,
)

ENV_PREFIX = "SYNCLINE_"


class Settings(BaseSettings):
    """Settings of Syncline. Each comes from the environment (`SYNCLINE_KAFKA__GROUP_ID`), else from the configuration
    file, else from its default.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()
    index: IndexSettings = IndexSettings()
    sources: list[SourceSettings] = Field(min_length=1)
    """The kinds of rows to keep in step; at least one."""
    embedding: EmbeddingSettings = EmbeddingSettings()
    batch: BatchSettings = BatchSettings()
    delivery: DeliverySettings = DeliverySettings()
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose content comes in as init arguments; read nothing else."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        check_delivery(self.delivery, self.kafka.rebalance_timeout)
        _check_sources(self.sources)
        return self


def _check_sources(sources: list[SourceSettings]) -> None:
    """Refuse two sources that share a name or claim the same topic.

    Raises:
        ValueError: naming both.
    """
    owners: dict[str, str] = {}
    for source in sources:
        if source.name in owners.values():
            raise ValueError(f"sources: the name {source.name!r} is given twice: every source needs its own")
        for topic in source.topics:
            owner = owners.setdefault(topic, source.name)
            if owner != source.name:
                raise ValueError(f"sources: {owner!r} and {source.name!r} both read {topic!r}: give it to one of them")
        owners.setdefault(f"name {source.name}", source.name)
    for source in (source for source in sources if source.pattern is not None):
        for other in (other for other in sources if other is not source):
            claimed = [topic for topic in other.topics if re.fullmatch(source.pattern or "", topic)]
            if claimed:
                raise ValueError(
                    f"sources: the pattern of {source.name!r} matches {claimed[0]!r}, which {other.name!r} reads: "
                    "narrow the pattern"
                )
