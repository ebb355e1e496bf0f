"""The pretend auth service, asked in memory by treq's own test agent."""

import pytest
from treq.testing import StubTreq

from exchange_push.demo.auth import site

URL = "http://127.0.0.1:8000/websocket_auth"


def asked(result):
    """The value of a Deferred of StubTreq's."""
    values = []
    result.addCallback(values.append)
    return values[0]


@pytest.fixture
def treq():
    return StubTreq(site().resource)


@pytest.mark.parametrize(("token", "uid"), [("demo-alice", 1001), ("demo-bob", 1002)])
@pytest.mark.parametrize("form", [False, True])
def test_a_demo_token_is_answered_by_its_uid(treq, token, uid, form):
    how = {"data": {"token": token}} if form else {"json": {"token": token}}
    response = asked(treq.post(URL, **how))
    assert response.code == 200
    assert asked(treq.json_content(response)) == {"uid": uid}


@pytest.mark.parametrize("token", ["", "alice", "demo-carol", "DEMO-ALICE", "demo-alice "])
def test_another_token_is_refused(treq, token):
    assert asked(treq.post(URL, json={"token": token})).code == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"token":1}', b'{"token":null}', b"\xff", b"[" * 5000])
def test_what_is_no_question_is_an_error_of_the_asker(treq, body):
    assert asked(treq.post(URL, data=body, headers={"Content-Type": "application/json"})).code == 400


def test_only_its_own_page_is_there(treq):
    assert asked(treq.get(URL)).code == 405
    assert asked(treq.post("http://127.0.0.1:8000/", json={"token": "demo-alice"})).code == 404
