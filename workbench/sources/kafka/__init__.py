"""Kafka topics: bounded, resumable reads of what is committed."""

from workbench.sources.kafka.source import KafkaSource, kafka

__all__ = ["KafkaSource", "kafka"]
