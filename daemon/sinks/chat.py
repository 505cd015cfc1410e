"""A chat's incoming webhook: Slack, Mattermost, Teams, Discord, Google Chat, by a template of what they take.

Guarantee: a message is delivered once the chat answered 2xx; one whose answer was lost is posted again, so that people
may read it twice. All steps of a delivery go into one message, a line each, so that a storm of events is no storm of
messages; beyond 30 lines, or what a chat takes, their number is told. Steps that nobody is to be told of count as
delivered.

What they take, by their documents: Discord refuses a `content` of more than 2,000 characters, Google Chat a text of
more than 4,096, Teams a message beyond 28 KB, Mattermost cuts at 16,383 and Slack at 40,000. Of Slack's text `&`, `<`
and `>` are to be escaped, for `<!channel>` would call everybody.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aez.daemon.common.addresses import url_fault
from aez.daemon.common.options import about, secret
from aez.daemon.common.records import EventRecord
from aez.daemon.sinks.base import Sink
from aez.daemon.sinks.http import Endpoint, EndpointOptions
from aez.daemon.sinks.told import Wording, filled, template_fault, wanted

__all__ = ["ChatOptions", "ChatSink"]

_LINES = 30
#: Characters of a text that each of them takes; and of Discord's, which is called otherwise.
_MOST, _MOST_OF_CONTENT = 4000, 2000
_CONTENT = "content"
_SLACK = ("hooks.slack.com", "hooks.slack-gov.com")
_PLACE = "{text}"


def _body_fault(body: str) -> str:
    if _PLACE not in body:
        return 'it has no place for the text, as in {"text": {text}}'
    try:
        json.loads(body.replace(_PLACE, '""'))
    except ValueError:
        return 'it is no JSON with {text} in place of a text, as in {"text": {text}}'
    return ""


@dataclass(frozen=True, kw_only=True)
class ChatOptions(EndpointOptions, Wording):
    """`kind = "chat"`."""

    url: str = field(
        repr=False,
        metadata=secret("where to POST, which is a secret of such hooks", check=url_fault),
    )
    text: str = field(
        default="{severity} {action}: {stream} {channels} ({model}, {time}) {page}",
        metadata=about(
            "a step's line; in it {stream}, {action}, {severity}, {channels}, {peak}, {model}, {time}, {id}, {sequence}"
            " and {page} are replaced",
            check=template_fault,
        ),
    )
    body: str = field(
        default='{"text": {text}}',
        metadata=about(
            'the JSON to post, in which {text} stands for the text in quotes; Discord takes {"content": {text}}',
            check=_body_fault,
        ),
    )


class ChatSink(Sink):
    """Posts one message for what is delivered at once."""

    Options = ChatOptions

    def __init__(self, options: ChatOptions) -> None:
        self._endpoint = Endpoint(options)
        self._text, self._body = options.text, options.body
        self._page, self._updates = options.page_url, options.updates
        self.timeout_seconds = options.timeout_seconds
        self._escapes = urlsplit(options.url).hostname in _SLACK
        outline = json.loads(self._body.replace(_PLACE, '""'))
        self._most = _MOST_OF_CONTENT if isinstance(outline, dict) and _CONTENT in outline else _MOST

    def __repr__(self) -> str:
        return f"ChatSink({self._endpoint.name!r})"

    def deliver(self, records: Sequence[EventRecord]) -> None:
        told = wanted(records, self._updates)
        if not told:
            return
        lines = [filled(self._text, record, self._page) for record in told[:_LINES]]
        text = _within(lines, len(told), self._most)
        if self._escapes:
            text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        body = self._body.replace(_PLACE, json.dumps(text))
        self._endpoint.post(body.encode(), {})

    def check(self) -> None:
        self._endpoint.connect()


def _within(lines: Sequence[str], steps: int, most: int) -> str:
    """So many of the lines that the text has at most `most` characters, and how many steps it does not tell of."""
    kept: list[str] = []
    room = most - len(f"\nand {steps} more")
    for line in lines:
        if len(line) + 1 > room:
            break
        kept.append(line)
        room -= len(line) + 1
    if not kept:
        kept = [f"{lines[0][: room - 2]}…"]
    more = [f"and {steps - len(kept)} more"] if len(kept) < steps else []
    return "\n".join([*kept, *more])
