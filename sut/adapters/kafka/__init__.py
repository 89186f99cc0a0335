"""Kafka: the message log on three brokers, over aiokafka's connections and protocol; a probe of one broker."""
