"""Producers and consumers of confluent-kafka (librdkafka) behind one line of JSON for each command. Ends with its input."""

import json
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

PATIENCE_SECONDS = 15
# With one broker a connection that is closed at once is an answer too.
FATAL = {KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError._ALL_BROKERS_DOWN}
OPERATIONS = {}


class Open:
    """A producer, polled all the time, as a program that lives long does."""

    def __init__(self, given):
        self.throttle_ms = 0
        self.failure = None
        self.producer = Producer(
            config_of(given, self.failed) | {"linger.ms": 0, "throttle_cb": self.throttled}
        )
        self.open = True
        self.thread = threading.Thread(target=self.poll, daemon=True)
        self.thread.start()

    def failed(self, error):
        if error.code() in FATAL and self.failure is None:
            self.failure = error

    def throttled(self, event):
        self.throttle_ms = max(self.throttle_ms, event.throttle_time)

    def poll(self):
        while self.open:
            self.producer.poll(0.02)

    def send(self, topic, value):
        told = []
        self.producer.produce(topic, value.encode(), on_delivery=lambda error, message: told.append((error, message)))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not told:
            if self.failure is not None:
                raise KafkaException(self.failure)
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            time.sleep(0.005)
        error, message = told[0]
        if error is not None:
            raise KafkaException(error)
        return message.offset()

    def close(self):
        self.open = False
        self.thread.join()
        self.producer.purge()
        self.producer.flush(1)


producers = {}


def config_of(given, on_error):
    config = dict(given)
    tokens = list(config.pop("tokens", []))

    def next_token(_):
        token, expires, user = tokens.pop(0) if len(tokens) > 1 else tokens[0]
        return token, expires, user, {}

    return config | {"error_cb": on_error} | ({"oauth_cb": next_token} if tokens else {})


def operation(function):
    OPERATIONS[function.__name__] = function
    return function


@operation
def open_producer(name, config):
    producers[name] = Open(config)


@operation
def send(name, topic, value):
    return producers[name].send(topic, value)


@operation
def throttle_ms(name):
    return producers[name].throttle_ms


@operation
def close_producer(name):
    producers.pop(name).close()


@operation
def produce(config, topic, value):
    opened = Open(config | {"message.timeout.ms": 10_000})
    try:
        return opened.send(topic, value)
    finally:
        opened.close()


@operation
def read(config, topic, offset, count):
    failures = []
    consumer = Consumer(
        config_of(config, lambda error: failures.append(error) if error.code() in FATAL else None)
        | {"group.id": "letters-librdkafka", "enable.auto.commit": False}
    )
    try:
        consumer.assign([TopicPartition(topic, 0, offset)])
        values = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(values) < count and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if failures:
                raise KafkaException(failures[0])
            if message is None:
                continue
            if message.error() is not None:
                raise KafkaException(message.error())
            values.append(message.value().decode())
        return values
    finally:
        consumer.close()


@operation
def brokers(config):
    """Where the brokers are, as the client is told."""
    opened = Open(config)
    try:
        found = opened.producer.list_topics(timeout=PATIENCE_SECONDS)
        return [f"{broker.host}:{broker.port}" for broker in found.brokers.values()]
    finally:
        opened.close()


def answer(command):
    try:
        told = {"ok": OPERATIONS[command["op"]](**command["arguments"])}
    except KafkaException as thrown:
        error = thrown.args[0]
        told = {"error": error.name(), "message": error.str()}
    except Exception as thrown:
        told = {"error": type(thrown).__name__, "message": str(thrown)}
    sys.stdout.write(json.dumps({"id": command["id"]} | told) + "\n")
    sys.stdout.flush()


for line in sys.stdin:
    threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()
