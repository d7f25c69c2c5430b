"""What must hold of any page: it needs nothing from outside, its tags match, its links lead somewhere."""

import html.parser
import re

_VOID = {"meta", "link", "input", "br", "img", "hr"}
_ADDRESSES = {"src", "href", "xlink:href", "srcset", "poster", "data", "action"}


class Reader(html.parser.HTMLParser):
    """Reads a page into what the tests ask about."""

    def __init__(self, page: str):
        super().__init__()
        self.open, self.tags, self.addresses, self.ids, self.words, self.sections = [], [], [], [], [], []
        self.feed(page)
        self.close()

    @property
    def text(self) -> str:
        """What a person can read, with plain blanks."""
        return re.sub(r"\s+", " ", " ".join(self.words))

    def handle_startendtag(self, tag, attrs):
        self._note(tag, attrs)

    def handle_starttag(self, tag, attrs):
        self._note(tag, attrs)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    def _note(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.addresses += [value for name, value in attrs.items() if name in _ADDRESSES]
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "section":
            self.sections.append(attrs["id"])

    def count(self, tag, **wanted):
        """How many elements of this tag have these attributes; `cls` stands for class."""
        wanted = {name.replace("cls", "class"): value for name, value in wanted.items()}
        return sum(t == tag and wanted.items() <= attrs.items() for t, attrs in self.tags)


def check(page: str) -> Reader:
    """Asserts that the page is whole and self-contained, and returns what was read."""
    reader = Reader(page)
    assert not reader.open
    for address in reader.addresses:
        assert address.startswith(("#", "data:")), address
        if address.startswith("#"):
            assert address[1:] in reader.ids, f"{address} leads nowhere"
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    assert not re.search(r"\b(None|nan|NaN|inf)\b", reader.text), "a missing value shows"
    return reader
