"""Origins as browsers send them: what is one, in which form, and whose pages may call (spec.md X-3). Pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.http.origins import CHARS_MAX, Origins, hostname, normal_origin
from kernel.settings import load

NORMAL = {
    "https://exams.example.org": "https://exams.example.org",
    "HTTPS://Exams.Example.ORG": "https://exams.example.org",
    "https://exams.example.org:443": "https://exams.example.org",
    "http://exams.example.org:80": "http://exams.example.org",
    "http://exams.example.org:443": "http://exams.example.org:443",
    "https://prüfung.example:8443": "https://xn--prfung-4ya.example:8443",
    "https://xn--prfung-4ya.example": "https://xn--prfung-4ya.example",
    "https://امتحان.example": "https://xn--mgbaim2jj.example",
    "http://localhost:3000": "http://localhost:3000",
    "http://192.0.2.7:8080": "http://192.0.2.7:8080",
    "http://[2001:DB8::1]:8080": "http://[2001:db8::1]:8080",
}
NONE = (
    "",
    "null",
    "*",
    "https://*",
    "https://*.example.org",
    "exams.example.org",
    "//exams.example.org",
    "https://",
    "https:///exams.example.org",
    "https://exams.example.org/",
    "https://exams.example.org/page",
    "https://exams.example.org?page",
    "https://exams.example.org#page",
    "https://exams.example.org\\page",
    "https://somebody@exams.example.org",
    "https://exams.example.org:",
    "https://exams.example.org:0",
    "https://exams.example.org:65536",
    "https://exams.example.org:80:80",
    "https://exams..example.org",
    "https://-exams.example.org",
    "https://exams.example.org.",
    "https://exams example.org",
    "https://exams.example.org\n",
    " https://exams.example.org",
    "https://exams%2eexample.org",
    "https://0x7f.1",
    "https://256.1.1.1",
    "https://1.2.3",
    "https://[::1",
    "https://[fe80::1%25eth0]",
    "ftp://exams.example.org",
    "file:///home",
    "chrome-extension://abcdefgh",
    "javascript:alert(1)",
    "https://" + "a" * 64 + ".example",
    "https://" + "a." * CHARS_MAX + "example",
)


@pytest.mark.parametrize(("given", "normal"), NORMAL.items())
def test_an_origin_is_kept_as_browsers_send_it(given: str, normal: str) -> None:
    assert normal_origin(given) == normal


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_origin_of_a_page_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z]") as caught:
        normal_origin(text)
    assert len(text) <= len("https://") or text not in str(caught.value)


@given(st.text("hHtps:/.*-_[]@1aé\u0661\n", max_size=20).map(lambda text: f"http://{text}"))
def test_the_normal_form_is_its_own_normal_form_and_plain_ascii(text: str) -> None:
    try:
        origin = normal_origin(text)
    except ValueError:
        return

    assert normal_origin(origin) == origin
    assert origin.isascii()
    assert origin.isprintable()


def test_a_page_of_another_port_of_the_same_host_may_call_where_the_port_is_named() -> None:
    origins = Origins(load({}, allowed_origins="https://portal.example.org, :8080,:443"))

    def allows(origin: str, host: str) -> bool:
        return origins.allow(origin, host, None)

    assert allows("http://127.0.0.1:8080", "127.0.0.1:8081")
    assert allows("http://localhost:8080", "localhost:8081")
    assert allows("http://[::1]:8080", "[::1]:8081")
    assert allows("https://school.example", "school.example:8081")  # 443 is not written
    assert allows("https://portal.example.org", "anything")
    assert not allows("http://127.0.0.1:8082", "127.0.0.1:8081")
    assert not allows("http://127.0.0.1", "127.0.0.1:8081")
    assert not allows("http://localhost:8080", "127.0.0.1:8081")
    assert not allows("http://portal.example.org", "anything")
    assert not allows("null", "127.0.0.1:8081")


def test_an_organisation_s_origins_are_its_own_and_everybody_s_before_anybody_is_known() -> None:
    origins = Origins(load({}))
    origins.learn([("one", ["https://one.example"]), ("two", ["https://two.example"])])

    assert origins.allow("https://one.example", "x", "one")
    assert not origins.allow("https://one.example", "x", "two")
    assert not origins.allow("https://one.example", "x", "three")
    assert origins.allow("https://one.example", "x", None)

    origins.learn([("one", [])])
    assert not origins.allow("https://one.example", "x", "one")
    assert not origins.allow("https://one.example", "x", None)
    assert origins.allow("https://two.example", "x", None)


@pytest.mark.parametrize("given", ["https://*.example.org", "exams.example.org", "https://a.example/x", ":x"])
def test_a_deployment_that_names_no_origin_does_not_start(given: str) -> None:
    with pytest.raises(ValueError, match="allowed_origins"):
        Origins(load({}, allowed_origins=given))


@pytest.mark.parametrize(
    ("host", "name"),
    [("a.example", "a.example"), ("a.example:80", "a.example"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")],
)
def test_the_name_in_a_host_header(host: str, name: str) -> None:
    assert hostname(host) == name
