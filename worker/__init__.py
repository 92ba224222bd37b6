"""Syncline: keeps an Elasticsearch index in step with a database."""

__version__ = "0.1.0"
