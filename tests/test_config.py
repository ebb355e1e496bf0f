from pathlib import Path

import pytest

from exchange_push.config import Config, keys, load, variables
from exchange_push.errors import ConfigError


def test_flags_go_over_variables_over_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "push.toml"
    file.write_text('[clients]\npath = "/file"\nping_s = 1.0\npong_s = 1.0\n[auth]\nurl = "http://file"\n')
    environ = {"EXCHANGE_PUSH_CLIENTS__PATH": "/variable", "EXCHANGE_PUSH_CLIENTS__PING_S": "2", "HOME": "/"}
    config = load({"clients.path": "/flag"}, environ, str(file))

    assert config.clients.path == "/flag"
    assert config.clients.ping_s == 2
    assert config.clients.pong_s == 1
    assert config.auth.url == "http://file"
    assert config.auth.timeout_s == 2


def test_without_any_the_defaults_hold() -> None:
    assert load({}, {}) == Config()


def test_a_variable_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "push.toml"
    file.write_text('[symbols.BTCUSDT]\nfunding_hours = 4\n[market]\nsymbols = ["BTCUSDT"]\n')

    assert load({}, {"EXCHANGE_PUSH_CONFIG": str(file)}).symbols["BTCUSDT"].funding_hours == 4


@pytest.mark.parametrize("key", sorted(variables().values()))
def test_every_key_can_be_set_by_its_variable(key: str) -> None:
    default = keys()[key]
    if isinstance(default, tuple):
        text, found = "A,B", ("A", "B")
    elif isinstance(default, str) or default is None:
        text, found = ("form", "form") if key == "auth.format" else ("/some-text", "/some-text")
    elif isinstance(default, bool):
        text, found = str(not default).lower(), not default  # type: ignore[assignment]
    elif isinstance(default, float) and default < 1:
        text, found = "0.25", 0.25  # type: ignore[assignment]
    else:
        text, found = "77777", 77777  # type: ignore[assignment]
    variable = next(name for name, of in variables().items() if of == key)
    value: object = load({}, {variable: text})
    for part in key.split("."):
        value = getattr(value, part)

    assert value == found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nonsense = 1", "unknown key nonsense, expected one of listen, api,"),
        ("[clients]\nping = 1", "unknown key clients.ping, expected one of path,"),
        ("[clients]\nping_s = 'x'", "clients.ping_s: expected `float`, got `str`"),
        ("[clients]\nping_s = 0", "clients.ping_s: expected `float` > 0.0"),
        ("[clients]\npath = 'x'", "clients.path: expected `str` matching"),
        ("[clients]\nmax_connections = -1", "clients.max_connections: expected `int` >= 0"),
        ("[clients]\norigins = 'https://a'", "clients.origins: expected `array`, got `str`"),
        ("clients = 5", "clients: expected `object`, got `int`"),
        ("[auth]\nformat = 'xml'", "auth.format: invalid enum value 'xml'"),
        ("[symbols.A]\n[symbols.BTCUSDT]\nprodct = 1", "unknown key symbols.BTCUSDT.prodct, expected one of product,"),
        ("[symbols.BTCUSDT]\nfunding_hours = 0", "symbols.BTCUSDT.funding_hours: expected `int` >= 1"),
        ("[symbols.BTCUSDT]\nproduct = 'spot'", "symbols.BTCUSDT.product: invalid enum value 'spot'"),
        ("[symbols.BTCUSDT]\nmark = 'men'", "symbols.BTCUSDT: mark is 'men', expected one of median, basis, fair"),
        ("[symbols.BTCUSDT]\npremium_average = 'x'", "premium_average is 'x', expected one of linear, mean"),
        ("[symbols.BTCUSDT]\nindex_outliers = ''", "index_outliers is '', expected one of exclude, clamp, keep"),
        ("[symbols.BTCUSDT]\nindex_band = 3", "symbols.BTCUSDT: index_band is 3, expected a share between 0 and 1"),
        ("[symbols.BTCUSDT]\nindex_weights = {a = -1}", "index_weights: 'a' weighs -1, expected 0 or more"),
        ("[symbols.BTCUSDT]\nindex_weights = {a = 0}", "index_weights: all are 0, expected one above it"),
        ("[symbols.BTCUSDT]\nindex_weights = {a = 'x'}", "symbols.BTCUSDT.index_weights.*: invalid decimal string"),
        ("[symbols.BTCUSDT]\nimpact_notional = nan", "impact_notional is NaN, expected more than 0"),
        ("[symbols.BTCUSDT]\nfunding_clamp = -0.1", "funding_clamp is -0.1, expected 0 or more"),
        ("[symbols.BTCUSDT]\ninterest = 1", "interest is 1, expected a share between -1 and 1"),
        ("[symbols.X]\nfunding_cap = 0.1\nfunding_floor = 0.2", "funding_cap is 0.1, expected at least funding_floor"),
        (
            "[symbols.BTCUSDT]\ndelivery = 2026-12-25T08:00:00Z",
            'delivery is of a dated future, expected product = "fut',
        ),
        ("[symbols.X]\ndelivery = 2026-12-25T08:00:00", "symbols.X.delivery: expected `datetime` with a timezone"),
        ("[symbols.btc]", "symbols: expected `str` matching"),
        ("[market]\nsymbols = ['btc']", "market.symbols[0]: expected `str` matching"),
        ("[channels]\npublic = ['a@b']", "channels.public[0]: expected `str` matching"),
        ("[channels]\npublic = ['a']\nprivate = ['a']", "a stands there twice"),
        ("[", "not TOML"),
        ("a = 1\na = 2", "not TOML"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_key_and_what_was_expected(
    tmp_path: Path, text: str, line: str
) -> None:
    file = tmp_path / "push.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load({}, {}, str(file))

    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "line"),
    [
        ("EXCHANGE_PUSH_CLIENTS__PING", "1", "EXCHANGE_PUSH_CLIENTS__PING: no such key"),
        ("EXCHANGE_PUSH_CLIENTS", "1", "EXCHANGE_PUSH_CLIENTS: no such key"),
        ("EXCHANGE_PUSH_SYMBOLS", "1", "EXCHANGE_PUSH_SYMBOLS: no such key"),
        ("EXCHANGE_PUSH_CLIENTS__PING_S", "soon", "EXCHANGE_PUSH_CLIENTS__PING_S: found 'soon', expected `float`"),
        ("EXCHANGE_PUSH_CLIENTS__PATH", "x", "EXCHANGE_PUSH_CLIENTS__PATH: found 'x', expected"),
        ("EXCHANGE_PUSH_CONFIG", "/nowhere/push.toml", "--config /nowhere/push.toml: No such file or directory"),
    ],
)
def test_a_wrong_variable_is_one_line_that_names_it(variable: str, text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, {variable: text})

    assert line in str(caught.value)


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    assert load({"internal.secret_file": str(file)}, {}).secret == "s3cret"
    assert load({"internal.secret": "direct"}, {}).secret == "direct"
    assert load({}, {}).secret is None
    file.write_text("\n")
    for path in (str(file), str(tmp_path / "none")):
        with pytest.raises(ConfigError, match="secret_file"):
            _ = load({"internal.secret_file": path}, {}).secret


def test_the_feed_key_is_what_its_file_holds_but_for_the_end_of_the_line(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for held, key in (
        (b"0123456789abcdef\n", b"0123456789abcdef"),
        (b"one line\r\n", b"one line"),
        (b"x" * 64 + b"\n", b"x" * 64),
        (b"\n\xff\n", b"\n\xff\n"),  # bytes at random: the end is not the end of a line
        (bytes(32), bytes(32)),
    ):
        file.write_bytes(held)
        assert load({"feed.key_file": str(file)}, {}).feed_key == key
    assert load({}, {}).feed_key is None


@pytest.mark.parametrize("held", [None, b"", b"\n", b"x" * 65, bytes(65)])
def test_a_file_that_holds_no_feed_key_is_one_line_that_names_the_key(tmp_path: Path, held: bytes | None) -> None:
    file = tmp_path / "key"
    if held is not None:
        file.write_bytes(held)
    with pytest.raises(ConfigError, match=r"feed\.key_file: ") as caught:
        _ = load({"feed.key_file": str(file)}, {}).feed_key
    assert "\n" not in str(caught.value)
