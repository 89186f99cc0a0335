"""Kafka: the message log on three brokers, by aiokafka's connections and protocol; looks at a broker from outside."""
