"""The client against a store on a real socket: what it asks, and what each answer is worth."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from snap_store import SnapStore, cut, snap_id, status

from image_builder.errors import PipelineError, SurroundingsError
from snaps.channels import parse
from snaps.store.answers import Question
from snaps.store.client import StoreClient
from snaps.store.credentials import Credentials
from snaps.store.errors import CredentialsError, NotFoundError, StoreError
from snaps.store.settings import Settings
from snaps.store.transport import TRIES


@pytest.fixture(autouse=True)
def snaps(loopback: SnapStore) -> None:
    loopback.add("hello", 29, b"twenty-nine", {"name": "hello", "base": "core22"})
    loopback.add("go", 7, b"seven", {"name": "go", "base": "core22", "confinement": "classic"}, channel="1.22/stable")


def ask(client: StoreClient, *questions: Question) -> list[tuple[str, int, str]]:
    return [(offer.name, offer.revision, offer.channel) for offer in client.offers(questions)]


def test_several_snaps_in_one_request(loopback: SnapStore, store_client: StoreClient) -> None:
    found = ask(store_client, Question("go", parse("1.22")), Question("hello"))
    assert found == [("go", 7, "1.22/stable"), ("hello", 29, "stable")]
    (asked,) = loopback.asked
    assert asked.body["context"] == []
    assert asked.body["actions"][1] == {
        "action": "download", "instance-key": "download-2", "name": "hello", "channel": "latest/stable", "epoch": None,
    }  # fmt: skip
    assert asked.headers["Snap-Device-Series"] == "16"
    assert asked.headers["Snap-Device-Architecture"] == "amd64"
    assert "Authorization" not in asked.headers


def test_all_of_an_offer(store_client: StoreClient) -> None:
    (offer,) = store_client.offers([Question("go", parse("1.22"))])
    assert (offer.snap_id, offer.size_bytes, offer.confinement, offer.publisher) == (
        snap_id("go"), 5, "classic", "publisher",
    )  # fmt: skip
    assert len(offer.sha3_384) == 96


def test_no_question_is_no_request(loopback: SnapStore, store_client: StoreClient) -> None:
    assert store_client.offers([]) == []
    assert loopback.asked == []


def test_a_closed_channel_is_followed_by_one_of_less_risk(store_client: StoreClient) -> None:
    assert ask(store_client, Question("hello", parse("edge"))) == [("hello", 29, "stable")]


def test_a_revision_excludes_channel_and_cohort(loopback: SnapStore, store_client: StoreClient) -> None:
    loopback.add("hello", 30, b"thirty", {"name": "hello"})
    assert ask(store_client, Question("hello", parse("edge"), "key", 29)) == [("hello", 29, "")]
    assert set(loopback.asked[0].body["actions"][0]) == {"action", "instance-key", "name", "epoch", "revision"}


def test_a_cohort_keeps_its_revision(loopback: SnapStore, store_client: StoreClient) -> None:
    keys = store_client.cohorts(["hello"])
    loopback.add("hello", 30, b"thirty", {"name": "hello"})
    assert (
        ask(
            store_client,
            Question("hello", cohort=keys["hello"]),
        )[0][1]
        == 29
    )
    assert ask(store_client, Question("hello"))[0][1] == 30
    assert ask(store_client, Question("hello", cohort="+"))[0][1] == 30
    assert loopback.asked[-1].body["actions"][0]["cohort-key"] == "+"


def test_errors_beside_good_answers_name_each_snap(loopback: SnapStore, store_client: StoreClient) -> None:
    with pytest.raises(NotFoundError) as e:
        ask(store_client, Question("hello"), Question("go"), Question("nothing"))
    assert (
        "go, channel latest/stable: No revision available. (revision-not-found); released are 1.22/stable (amd64)"
        in (str(e.value))
    )
    assert "nothing, channel latest/stable: No snap named 'nothing'. (name-not-found)" in str(e.value)
    assert len(loopback.asked) == 1  # a refusal is not asked again


def result(value: Any, **changes: Any) -> Any:
    first = value["results"][0]
    return {**value, "results": [{**first, **changes}, *value["results"][1:]]}


def snap(value: Any, **changes: Any) -> Any:
    return result(value, snap={**value["results"][0]["snap"], **changes})


def file(value: Any, **changes: Any) -> Any:
    return snap(value, download={**value["results"][0]["snap"]["download"], **changes})


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(lambda v: {**v, "results": [*v["results"], {**v["results"][0], "instance-key": "download-9"}]},
                     "which was not asked for", id="a result for an unasked snap"),
        pytest.param(lambda v: {**v, "results": v["results"] * 2}, "which was not asked for", id="one twice"),
        pytest.param(lambda v: {**v, "results": []}, "says nothing of hello", id="none"),
        pytest.param(lambda v: {**v, "results": None}, "answers without results", id="no list"),
        pytest.param(lambda v: {**v, "results": ["x"]}, "answers without results", id="no mappings"),
        pytest.param(lambda _: [], "answers without results", id="another shape"),
        pytest.param(lambda v: snap(v, name="other"), "the name 'other'", id="another snap"),
        pytest.param(lambda v: snap(v, revision="29"), "the revision '29'", id="a revision that is no number"),
        pytest.param(lambda v: snap(v, revision=True), "the revision True", id="a revision that is true"),
        pytest.param(lambda v: file(v, size=0), "the size 0", id="no size"),
        pytest.param(lambda v: file(v, **{"sha3-384": "00"}), "the SHA3-384 '00'", id="a short hash"),
        pytest.param(lambda v: file(v, url="file:///etc/passwd"), "the address", id="another scheme"),
        pytest.param(lambda v: snap(v, download=None), "the SHA3-384", id="no download"),
        pytest.param(lambda v: result(v, **{"snap-id": "../x"}), "the snap-id", id="a snap-id that is a path"),
        pytest.param(lambda v: result(v, result="error", error=None), "no reason given", id="an error without words"),
    ],
)  # fmt: skip
def test_answers_that_cannot_be_meant_are_refused(
    loopback: SnapStore, store_client: StoreClient, edit: Any, said: str
) -> None:
    loopback.fault("refresh", edit=edit)
    with pytest.raises(StoreError, match=said):
        ask(store_client, Question("hello"))


def test_another_revision_than_asked_for_is_refused(loopback: SnapStore, store_client: StoreClient) -> None:
    loopback.fault("refresh", edit=lambda value: snap(value, revision=30))
    with pytest.raises(StoreError, match="revision 30, not the one asked for"):
        ask(store_client, Question("hello", revision=29))


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_what_may_heal_is_tried_again(loopback: SnapStore, store_client: StoreClient, code: int) -> None:
    loopback.fault("refresh", times=2, answer=status(code, Retry_After="1"))
    assert ask(store_client, Question("hello"))[0][1] == 29
    assert len(loopback.asked) == 3


def test_a_cut_connection_is_tried_again(loopback: SnapStore, store_client: StoreClient) -> None:
    loopback.fault("refresh", times=2, answer=cut)
    assert ask(store_client, Question("hello"))[0][1] == 29


def test_in_the_end_the_surroundings_are_at_fault(loopback: SnapStore, store_client: StoreClient) -> None:
    loopback.fault("refresh", answer=status(503))
    with pytest.raises(SurroundingsError, match="503 Service Unavailable") as e:
        ask(store_client, Question("hello"))
    assert e.value.exit_status == 3
    assert len(loopback.asked) == TRIES


@pytest.mark.parametrize("code", [400, 402, 403, 404, 405, 410, 418])
def test_what_will_not_heal_is_asked_once(loopback: SnapStore, store_client: StoreClient, code: int) -> None:
    loopback.fault("refresh", answer=status(code))
    with pytest.raises(StoreError, match=f"made to fail: {code}"):
        ask(store_client, Question("hello"))
    assert len(loopback.asked) == 1


def test_the_stores_own_words_for_a_bad_request(loopback: SnapStore, store_client: StoreClient) -> None:
    value = {"error-list": [{"code": "api-error", "message": "Additional properties are not allowed at /context/0"}]}
    loopback.fault("refresh", answer=status(400, value))
    with pytest.raises(StoreError, match="400 Bad Request: Additional properties are not allowed"):
        ask(store_client, Question("hello"))


def test_html_of_a_portal_is_no_answer(loopback: SnapStore, store_client: StoreClient) -> None:
    loopback.fault("refresh", answer=status(200, b"<html>Log in first</html>"))
    with pytest.raises(StoreError, match="something else than JSON"):
        ask(store_client, Question("hello"))


def test_a_503_makes_no_new_cohort(loopback: SnapStore, store_client: StoreClient) -> None:
    loopback.fault("cohorts", answer=status(503))
    with pytest.raises(SurroundingsError):
        store_client.cohorts(["hello"])
    assert loopback.cohorts == {}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda _: {"cohort-keys": {}}, "other cohorts than asked for: hello"),
        (lambda v: {"cohort-keys": {**v["cohort-keys"], "x": "y"}}, "other cohorts than asked for: x"),
        (lambda _: {"cohort-keys": {"hello": 7}}, "without cohort keys"),
        (lambda _: {}, "without cohort keys"),
    ],
)
def test_cohorts_that_cannot_be_meant(loopback: SnapStore, store_client: StoreClient, edit: Any, said: str) -> None:
    loopback.fault("cohorts", edit=edit)
    with pytest.raises(StoreError, match=said):
        store_client.cohorts(["hello"])


def test_a_cohort_of_an_unknown_snap(store_client: StoreClient) -> None:
    with pytest.raises(NotFoundError, match="No snap named 'nothing'"):
        store_client.cohorts(["hello", "nothing"])


def test_info(loopback: SnapStore, store_client: StoreClient) -> None:
    found = store_client.info("hello")
    assert [row["revision"] for row in found["channel-map"]] == [29]
    assert loopback.asked[0].query["architecture"] == ["amd64"]
    with pytest.raises(NotFoundError, match="No snap named 'nothing' found"):
        store_client.info("nothing")
    loopback.fault("info", edit=lambda value: {**value, "name": "other"})
    with pytest.raises(StoreError, match="something else than what it knows of hello"):
        store_client.info("hello")


def test_an_assertion_by_its_key(loopback: SnapStore, store_client: StoreClient) -> None:
    loopback.assertions["snap-declaration", "16", "a b/c"] = b"type: snap-declaration\n"
    assert store_client.assertion("snap-declaration", ["16", "a b/c"], max_format=7) == b"type: snap-declaration\n"
    assert loopback.asked[0].query["max-format"] == ["7"]
    assert loopback.asked[0].headers["Accept"] == "application/x.ubuntu.assertion"
    with pytest.raises(NotFoundError, match="no account assertion"):
        store_client.assertion("account", ["x"], max_format=0)
    loopback.fault("assertions", answer=status(404, {"status": 404, "title": "not found", "detail": "no such one"}))
    with pytest.raises(NotFoundError, match="no such one"):
        store_client.assertion("account", ["x"], max_format=0)


def with_credentials(loopback: SnapStore, **changes: Any) -> StoreClient:
    settings = {"api": loopback.address, "assertions": loopback.address, "credentials": Credentials("Macaroon secret")}
    return StoreClient(Settings(**(settings | changes)))


def test_credentials_and_brand_store(loopback: SnapStore) -> None:
    loopback.token = "Macaroon secret"
    client = with_credentials(loopback, store_id="Brand", architecture="arm64", cdn=False)
    assert ask(client, Question("hello"))[0][1] == 29
    asked = loopback.asked[0].headers
    assert (asked["Authorization"], asked["Snap-Device-Store"]) == ("Macaroon secret", "Brand")
    assert asked["Snap-Device-Architecture"] == "arm64"


def test_without_credentials_the_store_says_so(loopback: SnapStore, store_client: StoreClient) -> None:
    loopback.token = "Macaroon secret"
    with pytest.raises(CredentialsError, match=r"without credentials: Permission required\.") as e:
        ask(store_client, Question("hello"))
    assert "UBUNTU_STORE_AUTH" in str(e.value)
    assert len(loopback.asked) == 1


def test_stale_credentials(loopback: SnapStore) -> None:
    loopback.fault("refresh", answer=status(401, WWW_Authenticate="Macaroon needs_refresh=1"))
    with pytest.raises(CredentialsError, match="they have expired"):
        ask(with_credentials(loopback), Question("hello"))


def test_another_host_gets_no_credentials(loopback: SnapStore) -> None:
    client = with_credentials(loopback, store_id="Brand")
    (offer,) = client.offers([Question("hello")])
    with client.download(offer.url) as answer:
        assert answer.content == b"twenty-nine"
    (to_store,) = [a for a in loopback.asked if "download" in a.path and a.host == "store"]
    (to_cdn,) = [a for a in loopback.asked if a.host == "cdn"]
    assert to_store.headers["Authorization"] == "Macaroon secret"
    assert to_store.headers["X-Ubuntu-Device-Store"] == "Brand"
    sent = {name.lower() for name in to_cdn.headers}
    assert not sent & {"authorization", "snap-device-authorization", "x-ubuntu-device-store", "snap-device-store"}
    assert "Macaroon" not in str(to_cdn.headers)


def test_an_address_in_the_answer_gets_no_credentials(loopback: SnapStore) -> None:
    client = with_credentials(loopback)
    loopback.fault("refresh", edit=lambda v: file(v, url=f"{loopback.cdn_address}/elsewhere"))
    (offer,) = client.offers([Question("hello")])
    with client.download(offer.url) as answer:
        assert answer.status_code == 404
    assert "Authorization" not in loopback.asked[-1].headers


def test_a_netrc_is_no_credential(loopback: SnapStore, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password from-netrc\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    ask(StoreClient(Settings(api=loopback.address)), Question("hello"))
    assert "Authorization" not in loopback.asked[0].headers


def test_redirects(loopback: SnapStore, store_client: StoreClient) -> None:
    def to(place: str) -> Any:
        return status(302, Location=place)

    url = f"{loopback.address}/x"
    loopback.fault("^/x$", answer=to("/x"))
    with pytest.raises(StoreError, match="more than 5 redirects"), store_client.download(url):
        pass
    loopback.faults.clear()
    loopback.fault("^/x$", answer=to("file:///etc/passwd"))
    with pytest.raises(StoreError, match="is not followed"), store_client.download(url):
        pass
    loopback.fault("refresh", answer=to("/elsewhere"))
    with pytest.raises(StoreError, match="is not followed"):  # what was asked by POST is not asked elsewhere
        ask(store_client, Question("hello"))


def test_nothing_unencrypted_from_a_store_that_is_encrypted(loopback: SnapStore) -> None:
    client = StoreClient(Settings(api="https://api.example", assertions="https://api.example"))
    with (
        pytest.raises(StoreError, match="not encrypted: refused"),
        client.download(f"{loopback.address}/x?token=secret"),
    ):
        pass
    assert loopback.asked == []


def test_secrets_are_in_no_message_and_no_log(loopback: SnapStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = with_credentials(loopback)
    said = [repr(client.settings), str(client.settings)]
    for code in (500, 403, 401):
        loopback.faults.clear()
        loopback.fault(".", answer=status(code))
        for path in ("/x?token=secret", "/y?token=secret"):
            with pytest.raises(PipelineError) as e:
                client._transport.read("GET", loopback.address + path)
            said.append(str(e.value))
    loopback.faults.clear()
    with client.download(client.offers([Question("hello")])[0].url) as answer:
        assert answer.content
    assert "secret" not in "\n".join(said) + caplog.text


@pytest.mark.usefixtures("loopback")  # for its short pauses
def test_nobody_answers() -> None:
    client = StoreClient(Settings(api="http://127.0.0.1:1"))
    with pytest.raises(SurroundingsError, match="Connection refused") as e:
        client.offers([Question("hello")])
    assert "is 127.0.0.1 reachable from here?" in str(e.value)
