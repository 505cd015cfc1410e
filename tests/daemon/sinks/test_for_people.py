"""E-mail and chats: what people read, what is refused, and what is never sent in the clear."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.sinks.base import Rejected, SinkError
from aez.daemon.sinks.chat import ChatOptions, ChatSink
from aez.daemon.sinks.email import EmailOptions, EmailSink
from tests.kit.certificates import Authority
from tests.kit.event_steps import step, steps
from tests.kit.places import ROOT
from tests.kit.sink_receivers import HttpServer, MailServer


@pytest.fixture
def chat() -> Iterator[HttpServer]:
    server = HttpServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def mail(authority: Authority) -> Iterator[MailServer]:
    signed = authority.sign("localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(signed.certificate, signed.key)
    server = MailServer(tls=context)
    yield server
    server.stop()


def told(**more: Any) -> dict[str, Any]:
    login = {"username": "me", "password": "s3cr3t-password"}
    who = {"host": "localhost", "sender": "plant@example.org", "recipients": ["me@example.org"]}
    return {**who, **login, "timeout_seconds": 10, **more}


def test_slack_mattermost_and_teams_get_what_they_take(chat: HttpServer) -> None:
    url = f"http://127.0.0.1:{chat.port}/hooks/x"
    bodies = [
        '{"text": {text}}',
        '{"content": {text}, "username": "aez"}',
        '{"type": "message", "attachments": [{"content": {"type": "AdaptiveCard", "body": [{"text": {text}}]}}]}',
    ]
    records = [step("e1", 0, "open", stream='pump "7"\n'), step("e1", 1, "update"), step("e1", 2, "close")]
    for body in bodies:
        sink = ChatSink(ChatOptions(url=url, body=body, text="{action} {stream} {page}", page_url="http://aez/"))
        sink.deliver(records)
    texts = [json.loads(body) for _, _, body in chat.posts]
    expected = 'open pump "7" http://aez/\nclose ' + records[2].stream + " http://aez/"
    assert texts[0]["text"] == texts[1]["content"] == expected
    assert texts[2]["attachments"][0]["content"]["body"][0]["text"] == expected


#: What the documents of each chat ask for: the body that docs/monitor.md gives, where the text stands in it, and how
#: long it may be.
CHATS: dict[str, tuple[str, tuple[Any, ...], int]] = {
    "Slack": ('{"text": {text}}', ("text",), 40_000),
    "Mattermost": ('{"text": {text}}', ("text",), 16_383),
    "Google Chat": ('{"text": {text}}', ("text",), 4096),
    "Discord": ('{"content": {text}, "allowed_mentions": {"parse": []}}', ("content",), 2000),
    "Teams": (
        (
            '{"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", '
            '"content": {"type": "AdaptiveCard", "version": "1.4", '
            '"body": [{"type": "TextBlock", "wrap": true, "text": {text}}]}}]}'
        ),
        ("attachments", 0, "content", "body", 0, "text"),
        28 << 10,
    ),
}


@pytest.mark.parametrize("name", CHATS)
def test_each_chat_gets_the_shape_and_the_length_that_its_documents_ask_for(chat: HttpServer, name: str) -> None:
    body, path, most = CHATS[name]
    documents = (ROOT / "docs" / "monitor.md").read_text()
    assert body in " ".join(documents.split())
    sink = ChatSink(ChatOptions(url=f"http://127.0.0.1:{chat.port}/hooks/x", body=body))
    for stream in ("pump-7", "pümp/" * 40):
        sink.deliver([step("e1", 0, "open", stream=stream), *steps(100)])
        found: Any = json.loads(chat.posts[-1][2])
        headers = {name.lower(): value for name, value in chat.posts[-1][1].items()}
        assert headers["content-type"].startswith("application/json")
        for key in path:
            found = found[key]
        assert len(found) <= most
        assert len(chat.posts[-1][2]) <= 28 << 10
        lines = found.split("\n")
        assert stream in lines[0]
        assert 2 < len(lines) <= 31
        assert lines[-1] == f"and {101 - (len(lines) - 1)} more"
    sink.deliver([step("e1", 0, "open", stream="x" * 9000)])
    assert "xx…" in json.dumps(json.loads(chat.posts[-1][2]), ensure_ascii=False)


def test_of_slack_a_name_calls_nobody() -> None:
    posted: list[bytes] = []
    for host, said in (("hooks.slack.com", "&lt;!channel&gt; a&amp;b"), ("chat.example.org", "<!channel> a&b")):
        sink = ChatSink(ChatOptions(url=f"https://{host}/services/x", text="{stream}"))
        sink._endpoint.post = lambda body, _: posted.append(body)  # type: ignore[method-assign, assignment]
        sink.deliver([step("e", 0, "open", stream="<!channel> a&b")])
        assert json.loads(posted[-1]) == {"text": said}


def test_a_storm_is_one_message_and_updates_alone_are_none(chat: HttpServer) -> None:
    sink = ChatSink(ChatOptions(url=f"http://127.0.0.1:{chat.port}"))
    sink.deliver([step("e", 3, "update")])
    assert not chat.posts
    sink.deliver(steps(100))
    ((_, _, body),) = chat.posts
    assert json.loads(body)["text"].split("\n")[30:] == ["and 70 more"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"body": '{"text": "x"}'}, "body: it has no place"),
        ({"body": '{"text": {text}'}, "body: it is no JSON"),
        ({"text": "{strean}"}, r"text: there is no \{strean\}; there are action"),
        ({"url": "ftp://x"}, "url: "),
        ({"url": "https://hooks/s3cr3t path"}, "url: "),
    ],
)
def test_what_a_chat_cannot_take_is_refused_with_its_key(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said) as caught:
        ChatOptions(**{"url": "https://hooks.example.org/x", **options})
    assert "s3cr3t" not in str(caught.value)


def test_mail_is_sent_over_verified_tls_with_a_login(mail: MailServer, authority: Authority) -> None:
    mail.messages.clear()
    sink = EmailSink(EmailOptions(**told(port=mail.port, tls_ca=str(authority.file), page_url="http://aez/")))
    sink.check()
    first, again = step("e1", 0, "open", stream="pump \r\nBcc: all@example.org"), step("e2", 0, "open")
    sink.deliver([first, step("e1", 1, "update"), again])
    sink.deliver([first, step("e1", 1, "update"), again])
    one, two = mail.messages
    assert one["Message-ID"] == two["Message-ID"]
    assert one["To"] == "me@example.org"
    assert one["Bcc"] is None
    assert one["Subject"].endswith("and 1 more")
    assert one["Auto-Submitted"] == "auto-generated"
    assert one.get_content().rstrip().endswith("http://aez/")
    assert "update" not in one.get_content()
    sink.deliver([step("e1", 2, "close")])
    assert mail.messages[-1]["References"] == one["References"]


def test_nothing_goes_to_a_server_that_is_not_trusted_or_has_no_tls(mail: MailServer) -> None:
    mail.messages.clear()
    with pytest.raises(SinkError, match="certificate is not trusted"):
        EmailSink(EmailOptions(**told(port=mail.port))).deliver(steps(1))
    plain = MailServer()
    try:
        with pytest.raises(SinkError, match="see security"):
            EmailSink(EmailOptions(**told(host="127.0.0.1", port=plain.port))).deliver(steps(1))
    finally:
        plain.stop()
    assert not mail.messages + plain.messages


def test_refusals_are_told_apart(mail: MailServer, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    mail.messages.clear()
    ways = {"port": mail.port, "tls_ca": str(authority.file)}
    sink = EmailSink(EmailOptions(**told(**ways)))
    for answer, kind in (("552 too large", Rejected), ("451 try later", SinkError)):
        mail.answer = answer
        with pytest.raises(SinkError, match=answer) as caught:
            sink.deliver(steps(1))
        assert type(caught.value) is kind
    mail.answer = ""
    with pytest.raises(SinkError, match="refuses the login") as caught:
        EmailSink(EmailOptions(**told(**ways, password="s3cr3t-wrong"))).deliver(steps(1))
    assert "s3cr3t" not in str(caught.value)
    with pytest.raises(SinkError, match=r"takes no e-mail for nobody@example\.org"):
        EmailSink(EmailOptions(**told(**ways, recipients=["nobody@example.org"]))).deliver(steps(1))
    EmailSink(EmailOptions(**told(**ways, recipients=["nobody@example.org", "me@example.org"]))).deliver(steps(1))
    assert len(mail.messages) == 1
    assert "nobody@example.org" in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sender": "nobody"}, "sender: "),
        ({"recipients": ["a@b", "x@"]}, "recipients: "),
        ({"recipients": ["a@b\r\nBcc: c@d"]}, "recipients: "),
        ({"password": None}, "username: "),
        ({"password": "ü"}, "password: "),
        ({"host": "mail.example.org", "security": "none"}, "security: a password is not sent without TLS"),
        ({"subject": "{what}"}, "subject: there is no"),
        ({"host": "a b"}, "host: "),
    ],
)
def test_what_cannot_be_mailed_is_refused_with_its_key(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        EmailOptions(**told(**options))


def test_a_mail_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    del tmp_path
    with pytest.raises(SinkError, match="cannot be reached: Connection refused"):
        EmailSink(EmailOptions(**told(port=1))).deliver(steps(1))
