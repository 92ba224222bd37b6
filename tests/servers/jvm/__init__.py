"""The real servers, without containers: Kafka, Connect with Debezium, Elasticsearch core, PostgreSQL."""
