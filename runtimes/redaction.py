"""Hides what may be a password in the text that names a camera, before it is shown, logged or stored.

Passwords stand in too many places to list them all, and vendors invent new ones. So it is the other way round: shown
are scheme, host, port and path of a URL, and those parameters and GStreamer properties that are known to be harmless.
"""

from __future__ import annotations

import re

HIDDEN = "***"

# parameters of URLs and properties of GStreamer elements whose values hold no secret
HARMLESS = frozenset((
    "bitrate", "buffer-size", "camera", "cameraid", "channel", "channels", "chroma-site", "clock-rate", "codec",
    "colorimetry", "cols", "compression", "connection-speed", "device", "do-retransmission", "do-timestamp", "drop",
    "drop-on-latency", "encoding-name", "format", "fps", "framerate", "height", "interlace-mode", "io-mode",
    "is-live", "latency", "layers", "leaky", "max-buffers", "max-size-buffers", "max-size-bytes", "max-size-time",
    "media", "mode", "multiview-mode", "num-buffers", "payload", "pixel-aspect-ratio", "port", "profile", "protocols",
    "qos", "quality", "rate", "resolution", "rotation", "rows", "sensor-id", "sensor-mode", "size", "stream",
    "stretch", "subtype", "sync", "timeout", "tls-validation-flags", "transport", "width",
))  # fmt: skip
_LOCATIONS = frozenset({"location", "uri"})  # properties that hold a URL or the path of a file

_AT = re.compile(r"[@\uff20\ufe6b]|%(?:25)*40")  # as typed, as look-alikes, and percent-encoded once or several times
_COLON = re.compile(r"[:\uff1a]|%(?:25)*3[aA]")
_QUERY_OR_FRAGMENT = re.compile("[?#]")
_SCHEME = re.compile(r"(?<![\w+.-])[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_URL_AS_PATH = re.compile(  # a URL that was taken for a path has lost a slash: http:/user:password@host
    r"(?<![\w+.-])(https?|rtsps?|rtmps?|rtp|udp|tcp|srt|s?ftps?|wss?|mqtts?|s3|gs):/(?=[^/\s])", re.IGNORECASE
)
_NEXT_ADDRESS = re.compile(r"(?<=[\s,;|])(?=[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
_END_IN_MESSAGE = re.compile(r"[)\]'\"`>,;:.]{0,8}(?:\s|$)")
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.%]+\])?(?::(?:\d{1,5}|PORT))?")
_HOST_AND_PATH = re.compile(r"[^/\\\s]*[/\\]|\d+\.\d+\.\d+\.\d+")
_SIMPLE_VALUE = re.compile(r"\w{0,16}(?:[./:x-]\w{1,5}){0,2}")
_DEVICE = re.compile(r"[\w/.:-]{0,64}")
_TOKEN_IN_PATH = re.compile(
    r"(?=.*\d)(?=.*[A-Za-z])(?:[A-Za-z\d~+-]{16,}|[\w~+-]{28,})|.*(?::|%(?:25)*(?:3[aAdD]|40|26)).*", re.DOTALL
)
_SECRET_FOLDER = re.compile(r"token|key|secret|auth|pass|pwd|session|sig|login|user", re.IGNORECASE)
_SECRET_PROPERTY = re.compile(
    r"((?:pass|pwd|pw|psw|psk|token|secret|key|auth|user|login|session|sig|cred|jwt)[\w-]{0,40}\s{0,8}=\s{0,8})"
    r"(?:\"(?:\\.|[^\"\\])*(?:\"|$)|'[^']*(?:'|$)|[^\s\"']\S*)",
    re.IGNORECASE,
)
_LOCAL_PATH = re.compile(r"\.{0,2}/(?!/)|~")
_SOURCE_ELEMENT = re.compile(r"\s*\w{0,40}(?:src|bin)\w{0,20}\s+[\w:-]+\s*=")
_SEPARATOR = re.compile(r"(?:^|\s)!(?:\s|$)")
_TOKEN_OF_PIPELINE = re.compile(
    r"""(?P<name>[A-Za-z_][\w.:-]*)\s*=\s*
        (?P<value> (?P<quote>["']) (?:\\.|(?!(?P=quote))[^\\])* (?:(?P=quote)|\\?\Z) | (?:\\.|[^\s\\]|\\\Z)* )
      | (?P<word> (?:\\.|[^\s\\]|\\\Z)+ )""",
    re.VERBOSE | re.DOTALL,
)


def redacted(source: str) -> str:
    """Returns the text that names a camera without what may be a password or token: rtsp://***@host/path?width=640&t=***.

    Args:
        source: A URL, also one with a typing error, a GStreamer pipeline, or a path, which stays as it is.
    """
    if not _SCHEME.match(source) and (_SEPARATOR.search(source) or _SOURCE_ELEMENT.match(source)):
        return _redacted_pipeline(source)
    if _SCHEME.search(source):
        return _redacted_urls(source, to_end=True)
    return _redacted_words(source)


def redacted_addresses(message: str) -> str:
    """Returns a message of any origin without the passwords in the URLs that it quotes. The other words stay."""
    return _redacted_urls(_URL_AS_PATH.sub(r"\1://", message), to_end=False)


def redacted_arguments(message: str) -> str:
    """Returns a message that quotes arguments of a command line, perhaps a source, without secrets."""
    if _SEPARATOR.search(message):
        return _redacted_pipeline(message)
    return _redacted_words(_redacted_urls(message, to_end=False))


def _redacted_urls(text: str, *, to_end: bool) -> str:
    """Returns `text` with each URL in it redacted.

    Args:
        text: One URL or several, among other words.
        to_end: Whether a URL goes on to the next one or to the end of the text, as a source does, blanks included;
            otherwise it ends at the first blank after its login.
    """
    first = _SCHEME.search(text)
    if not first:
        return text
    before = text[: first.start()]
    shown = [_redacted_words(before) if to_end else before]
    for part in _NEXT_ADDRESS.split(text[first.start() :]):
        found = _SCHEME.match(part)
        assert found is not None, "split where one begins"
        start, end = _end_of_login(part, found.end()), len(part.rstrip(" \t\r\n,;|"))
        if not to_end and (word_end := _END_IN_MESSAGE.search(part, start)):
            end = word_end.start()
        address = part[start : max(start, end)]
        if _QUERY_OR_FRAGMENT.search(part, found.end(), start):  # the last @ may be in a secret after the host
            shown += [found[0], HIDDEN, part[max(start, end) :]]
            continue
        login = f"{HIDDEN}@" if start > found.end() else ""
        is_rtmp = found[0].lower().startswith("rtmp")
        shown += [found[0], login, _redacted_location(address, key_in_path=is_rtmp), part[start + len(address) :]]
    return "".join(shown)


def _end_of_login(text: str, start: int = 0) -> int:
    """Returns the index after the last @, as passwords often hold an unescaped one; `start` if there is none."""
    return max((found.end() for found in _AT.finditer(text, start)), default=start)


def _redacted_location(text: str, *, key_in_path: bool) -> str:
    """Returns what follows the login of a URL, host, path, query and fragment, without secrets.

    Args:
        text: The part of the URL.
        key_in_path: Whether the path of an application is followed by the key of a stream, as in RTMP.
    """
    head, fragment_mark, fragment = text.partition("#")
    head, query_mark, query = head.partition("?")
    host, slash, path = head.partition("/")
    shown = host if _HOST.fullmatch(host) else HIDDEN
    application, _, key = path.partition("/")
    if key_in_path and key:
        path = f"{application}/"
    shown += slash + _redacted_path(path) + (HIDDEN if key_in_path and key else "")
    if query_mark:
        shown += "?" + _redacted_parameters(query)
    return shown + (f"#{HIDDEN}" if fragment else fragment_mark)


def _redacted_path(path: str) -> str:
    """Returns a path of a URL without parameters, long tokens, and folders that follow one named like a secret."""
    shown: list[str] = []
    for folder in path.split("/"):
        before, mark, after = folder.partition("=")
        name = re.split(r"[;&,?]", before)[-1]
        if mark:
            shown.append(before + mark + (after if _is_harmless(name, after) else HIDDEN))
        elif folder and (_TOKEN_IN_PATH.fullmatch(folder) or (shown and _SECRET_FOLDER.search(shown[-1]))):
            shown.append(HIDDEN)
        else:
            shown.append(folder)
    return "/".join(shown)


def _redacted_parameters(query: str) -> str:
    """Returns the query of a URL with the values of its harmless parameters only."""
    parts = re.split("([&;])", query)
    return "".join(part if index % 2 else _redacted_parameter(part) for index, part in enumerate(parts))


def _redacted_parameter(part: str) -> str:
    name, mark, value = part.partition("=")
    if not value.strip("="):  # no value: a token by itself, perhaps one of Base64 with its padding
        return HIDDEN if part else ""
    if not re.fullmatch(r"[\w.:\[\]-]{1,40}", name):
        return HIDDEN
    return name + mark + (value if _is_harmless(name, value) else HIDDEN)


def _is_harmless(name: str, value: str) -> bool:
    """Returns whether a parameter or property of this name may show this value."""
    name = name.rpartition("::")[2].lower().replace("_", "-")
    if name not in HARMLESS:
        return False
    return bool((_DEVICE if name == "device" else _SIMPLE_VALUE).fullmatch(value))


def _redacted_pipeline(text: str) -> str:
    """Returns a GStreamer pipeline with the values of its harmless properties only.

    What follows a value without being a property itself is taken for a part of it if the value is not harmless: a
    password with a blank in it, that should have been quoted.
    """
    shown: list[str] = []
    name = value = ""  # of the property that what follows may belong to
    for token in _TOKEN_OF_PIPELINE.finditer(text):
        word = token["word"]
        if word and word != "!" and name:
            value += f" {word}"
            continue
        if name:
            shown.append(f"{name}={_shown_value(name, value)}")
            name = ""
        if word:
            shown.append(_redacted_word(word))
            continue
        name, value = token["name"], token["value"]
        is_closed = (
            token["quote"]
            and len(value) > 1
            and value[-1] == value[0]
            and text[token.end() : token.end() + 1].isspace()
        )
        if is_closed or _is_harmless(name, value):
            shown.append(f"{name}={_shown_value(name, value)}")
            name = ""
    if name:
        shown.append(f"{name}={_shown_value(name, value)}")
    return " ".join(shown)


def _redacted_word(word: str) -> str:
    """Returns a word of a pipeline that is no property: an element, caps, an address."""
    if _SCHEME.search(word):
        return _redacted_urls(word, to_end=True)
    if "=" in word:
        return ",".join(map(_redacted_field, word.split(",")))
    return HIDDEN if _AT.search(word) else word


def _shown_value(name: str, value: str) -> str:
    """Returns the value of a property as it may be shown."""
    bare = value.strip("\"'")
    name_alone = name.rpartition("::")[2].lower()
    if name_alone in _LOCATIONS:
        return redacted(bare) if _SCHEME.search(bare) else _redacted_words(bare)
    if name_alone == "caps":
        return ",".join(map(_redacted_field, bare.split(",")))
    return bare if _is_harmless(name, bare) else HIDDEN


def _redacted_field(field: str) -> str:
    """Returns one part of the caps of a pipeline: a media type, or a field such as width=640."""
    name, mark, value = field.partition("=")
    if not mark:
        return field if re.fullmatch(r"\s*[\w/()+.:-]{0,64}\s*", field) else HIDDEN
    value = re.sub(r"^\s*\(\w+\)\s*", "", value.strip("\"' "))
    return name + mark + (value if _is_harmless(name.strip(), value) else HIDDEN)


def _redacted_words(text: str) -> str:
    """Returns a path, a message, or a mistyped URL or pipeline without secrets."""
    text = _SECRET_PROPERTY.sub(rf"\g<1>{HIDDEN}", text)
    if _LOCAL_PATH.match(text):
        return text
    end = _end_of_login(text)
    question = _QUERY_OR_FRAGMENT.search(text, 0, end)
    if question:
        return f"{text[: question.start()]}{question[0]}{HIDDEN}" if not _COLON.search(text, 0, end) else HIDDEN
    colon = _COLON.search(text, 0, end)
    if colon or (end and _HOST_AND_PATH.match(text, end)):  # user:password@host, or token@host/path
        first, marks = (colon.start(), " \t\n('\"") if colon else (end - 1, " \t\n('\"/\\")
        start = 1 + max(text.rfind(mark, 0, first) for mark in marks)
        text = f"{text[:start]}{HIDDEN}@{text[end:]}"
    head, mark, query = text.partition("?")
    return f"{head}?{_redacted_parameters(query)}" if mark and "=" in query else text
