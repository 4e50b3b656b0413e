"""Whose address a request comes from, behind proxies that are ours and others that are not (spec.md A-3)."""

from ipaddress import ip_address

import pytest

from kernel.http.networks import HOPS_MAX, client_address, hosts_of, http_url, networks_of

OURS = networks_of("10.0.0.0/8, 2001:db8:1::/48")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.9", ["198.51.100.1"], "192.0.2.9"),  # not one of ours: its header is nobody's word
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.5, 198.51.100.1"], "198.51.100.1"),  # the first one is the client's own word
        ("10.0.0.1", ["203.0.113.5", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.5, 198.51.100.1, 10.2.3.4 ,10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["10.5.5.5, 10.2.3.4"], "10.5.5.5"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8:2::1]:4711"], "2001:db8:2::1"),
        ("10.0.0.1", ["2001:db8:2::1, [2001:db8:1::7]"], "2001:db8:2::1"),
        ("2001:db8:1::1%eth0", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),  # nothing behind a malformed hop is believed
        ("10.0.0.1", ["198.51.100.1, garbage, 10.2.3.4"], "10.2.3.4"),
        ("10.0.0.1", ["198.51.100.1,"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:x", "\x00", "1" * 10_000], "10.0.0.1"),
        ("10.0.0.1", [", ".join(["198.51.100.1"] + ["10.0.0.2"] * HOPS_MAX)], "10.0.0.2"),
    ],
)
def test_the_right_most_hop_that_is_not_ours_is_the_client(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert client_address(peer, forwarded, OURS) == ip_address(client)


def test_without_trusted_networks_the_peer_is_the_client_whatever_it_says() -> None:
    assert client_address("127.0.0.1", ["198.51.100.1"], networks_of("")) == ip_address("127.0.0.1")


@pytest.mark.parametrize("peer", [None, "", "/run/veritas.sock"])
def test_a_peer_without_an_address_has_none(peer: str | None) -> None:
    assert client_address(peer, ["198.51.100.1"], OURS) is None


def test_a_malformed_setting_stops_the_process() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        networks_of("10.0.0.0/8,everything")


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("::1,127.0.0.1", "http://[::1]:8080"),
        ("[::1], localhost", "http://[::1]:8080"),
        ("0.0.0.0,::", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("exams.example", "http://exams.example:8080"),
    ],
)
def test_where_one_listens_is_where_one_is_reached_from_here(hosts: str, url: str) -> None:
    assert http_url(hosts, 8080) == url
    assert all(host.strip("[]") == host for host in hosts_of(hosts))
