#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is told to people is told in plain words: pages, --help, headers and refusals have
none of the phrases that readers have taken for something else.

No judge of style: a phrase stands here because somebody had to read a sentence twice."""

import re

import figures
import refusals
import words

PHRASES = [
    (r"(?<![Vv]irtual )(?<![-\w])[Mm]achines?\b",
     "say whether it is the host, a virtual machine, or its emulator"),
    (r"\bbut for\b", "say 'except'"),
    (r"\b[Ww]ho hangs? up\b", "say whose connection ends"),
    (r"\bmakes nothing of\b", "say 'does not interpret'"),
    (r"\bhears? of (?:it|them)\b", "say who is told of what"),
    (r"\bthose who\b", "name them: programs, managers, VMMs"),
    (r"(?<!there )\bis no (?:number|time|list|column|descriptor|name|socket|reply|request)\b",
     "say 'is not a'"),
]


def told():
    yield from figures.spoken().items()
    for text in refusals.texts():
        if " " in text.text:
            yield f"{text.path}:{text.line}", text.text


def check(pattern, advice):
    wrong = []
    for where, text in told():
        for match in re.finditer(pattern, text):
            part = text[max(0, match.start() - 40):match.end() + 40].replace("\n", " ")
            wrong.append(f"{where}: '...{part}...': {advice}")
    return wrong


if __name__ == "__main__":
    words.tell([(pattern, lambda pattern=pattern, advice=advice: check(pattern, advice))
                for pattern, advice in PHRASES])
