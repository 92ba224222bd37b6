"""Syncline: keeps an Elasticsearch index in step with a database.

    Kafka --> fetch --> decode --> map --> [intake] --> look up, plan --> embed --> send --> Elasticsearch
                ^                             ^               `--- no vector needed ---^  |
                |                             `---- a row's next changes wait here ---<---+
                `---- commit <--- ledger: the resolved prefix of each partition <---------'

`stages` decide (values in, values out), `adapters` talk to one client each, `runtime` owns tasks and time, `app` puts
them together. docs/architecture.md tells the same on one page, with the reasons.
"""

__version__ = "0.1.0"
