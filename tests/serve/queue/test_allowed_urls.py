from __future__ import annotations

import pytest

from funade.errors import ServeError
from funade.serve.queue.allowed_urls import may_reach, prefixes, refusal, target

ALLOWED = prefixes(["https://hooks.example.com/rides", "http://[::1]:9000/", "http://localhost:8000/a/"])


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/rides",
        "https://HOOKS.example.com./rides/7?who=me&b=%20",
        "https://hooks.example.com:443/rides/",
        "http://[::1]:9000/any/where",
        "http://localhost:8000/a/b",
    ],
)
def test_a_url_below_an_allowed_one_may_be_called(url: str) -> None:
    assert refusal(url, ALLOWED) == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/rides",
        "https://hooks.example.com:8443/rides",
        "https://hooks.example.com/ridesharing",
        "https://hooks.example.com/",
        "https://hooks.example.com.evil.net/rides",
        "https://hooks.example.com@evil.net/rides",
        "https://evil.net/https://hooks.example.com/rides",
        "https://hooks.example.com/rides/../admin",
        "https://hooks.example.com/rides/%2e%2E/admin",
        "https://hooks.example.com/rides/%2fadmin",
        "https://hooks.example.com\\@evil.net/rides",
        "https://hooks.example.com/rides#part",
        "https://hooks.example.com/rides\r\nhost: evil.net",
        "https://hooks.example.com/rides/ü",
        "https://hooks.example.com/rides/" + "x" * 2000,
        "//hooks.example.com/rides",
        "https:///rides",
        "https://hooks.example.com:99999/rides",
        "https://[::1/rides",
        "http://[::1]/any",
        "http://localhost:8000/a",
        "ftp://hooks.example.com/rides",
        "",
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    assert refusal(url, ALLOWED).startswith("header `funade-callback` expected ")


def test_nothing_may_be_called_unless_it_is_allowed() -> None:
    assert refusal("https://hooks.example.com/", ()) == (
        "header `funade-callback` expected a URL that [queue] callbacks allows, got another; ask who runs the server"
    )


@pytest.mark.parametrize("url", ["hooks.example.com", "https://a/?b", "https://me@a/", "https://a/../b"])
def test_a_prefix_that_is_no_url_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ServeError, match=r"^\[queue\] expected `callbacks` of a URL .*, got "):
        prefixes([url])


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111"])
def test_a_name_may_lead_to_a_public_address(address: str) -> None:
    assert may_reach(address, private=False)


@pytest.mark.parametrize("address", ["10.1.2.3", "172.16.0.1", "192.168.1.1", "fd00::1", "100.64.1.1"])
def test_a_name_may_lead_to_a_private_address_only_when_told_so(address: str) -> None:
    assert not may_reach(address, private=False)
    assert may_reach(address, private=True)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "169.254.169.254",
        "::1",
        "::",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
        "224.0.0.1",
    ],
)
def test_a_name_never_leads_to_this_machine_or_its_neighbours_on_the_link(address: str) -> None:
    assert not may_reach(address, private=True)


def test_the_host_of_a_request_bears_the_port_only_where_it_is_another() -> None:
    assert target("https://a.example:443/x").authority == "a.example"
    assert target("http://a.example:8080/x").authority == "a.example:8080"
    assert target("http://[fd00::1]:8080/x").authority == "[fd00::1]:8080"
