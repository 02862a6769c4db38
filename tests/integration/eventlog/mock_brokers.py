"""librdkafka's own mock cluster: brokers that err and freeze on demand, inside a client of the test's process."""

import ctypes
from pathlib import Path

import confluent_kafka

_PRODUCE_REQUEST = 0
_POINTER = ctypes.c_void_p
_HANDLE_OFFSET = 16
"""Where a client object holds the driver's handle: behind the head that every object of CPython has."""


class MockBrokers:
    """The mock cluster of a client that was made with `test.mock.num.brokers`."""

    def __init__(self, client: object) -> None:
        (library,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka*")
        self._library = ctypes.CDLL(str(library))
        self._library.rd_kafka_handle_mock_cluster.restype = _POINTER
        self._library.rd_kafka_handle_mock_cluster.argtypes = [_POINTER]
        handle = ctypes.cast(id(client) + _HANDLE_OFFSET, ctypes.POINTER(_POINTER))[0]
        self._cluster = _POINTER(self._library.rd_kafka_handle_mock_cluster(handle))

    def answer_a_produce_request_with(self, error: int) -> None:
        """The next request to write fails so."""
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(_PRODUCE_REQUEST), ctypes.c_size_t(1), (ctypes.c_int * 1)(error)
        )

    def freeze(self, broker: int) -> None:
        """From now on the broker takes ten minutes for an answer."""
        self._library.rd_kafka_mock_broker_set_rtt(self._cluster, ctypes.c_int32(broker), ctypes.c_int(600_000))

    def move_leader(self, topic: str, partition: int, broker: int) -> None:
        """Let another broker lead a partition."""
        self._library.rd_kafka_mock_partition_set_leader(
            self._cluster, topic.encode(), ctypes.c_int32(partition), ctypes.c_int32(broker)
        )
