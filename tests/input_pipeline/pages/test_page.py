"""What is on pages is data: names of users' columns and tasks may hold anything."""

import html.parser

from input_pipeline.pages import page

ODD = '<b>"a" & b</b>'


class Text(html.parser.HTMLParser):
    """The tags and the words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data)


def test_names_are_words_and_no_tags():
    for text in (
        page.cards({ODD: "7"}),
        page.table([ODD], [page.row(["7"])]),
        page.panels({ODD: "7"}),
        page.document(ODD, ["7"]),
    ):
        read = Text(text)
        assert "b" not in read.tags or text.startswith("<div class=cards>")
        assert ODD in "".join(read.words)


def test_a_page_stands_by_itself():
    text = page.document("A run", [page.section("Words", "two lines", page.wide("<svg></svg>"))])
    assert text.startswith("<!doctype html>")
    assert "src=" not in text
    assert "href=" not in text
    assert "{" in text.partition("</style>")[0]
    assert "{{" not in text


def test_columns_of_words_go_to_the_left():
    rows = [page.row(["a", "b", "1"])]
    assert "class=named" in page.table(["x", "y", "z"], rows, of_two_names=True)
    assert "class=text" in page.table(["x", "y", "z"], rows, of_text=True)
    assert "class=named" not in page.table(["x", "y", "z"], rows)
