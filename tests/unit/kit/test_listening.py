"""Where a service listens."""

import pytest

from whence.domain.errors import DependencyUnavailable, InvalidInput
from whence.kit.listening import bind, check_exposure


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    check_exposure(host, [], insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_any_other_host_needs_keys_or_the_word_of_the_operator(host: str) -> None:
    with pytest.raises(InvalidInput, match=r"WHENCE_API_KEYS.*WHENCE_INSECURE=1"):
        check_exposure(host, [], insecure=False)
    check_exposure(host, ["key"], insecure=False)
    check_exposure(host, [], insecure=True)


def test_a_busy_port_is_refused_with_the_way_out() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(DependencyUnavailable, match=rf"port {port} on 127\.0\.0\.1 is taken"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(InvalidInput, match="cannot listen on"):
        bind(host, 0)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_has_sixteen_bits(port: int) -> None:
    with pytest.raises(InvalidInput, match="0 to 65535"):
        bind("127.0.0.1", port)
