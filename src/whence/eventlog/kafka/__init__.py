"""The event log on Apache Kafka: one topic, confluent-kafka as the client."""
