"""BERT's uncased WordPiece tokenizer: text to the token numbers that the encoder reads.

Text is cleaned, lowered and stripped of accents, split at spaces and punctuation; each word is then
cut, from the left, into the longest pieces that vocab.txt has.
"""

import unicodedata

LONGEST_WORD = 100  # characters; a longer word is unknown, as in BERT


class Tokenizer:
    def __init__(self, vocabulary):
        """`vocabulary`: the pieces, by number; "##" begins all pieces of a word but the first."""
        self.number = {piece: i for i, piece in enumerate(vocabulary)}
        self.begin, self.end, self.unknown = (
            self.number[piece] for piece in ("[CLS]", "[SEP]", "[UNK]"))

    @classmethod
    def from_file(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls([line.rstrip("\n") for line in file])

    def encode(self, text, length=None):
        """[CLS], the pieces, [SEP]; the pieces cut so that all are at most `length` numbers."""
        pieces = [number for word in split(text) for number in self.pieces(word)]
        if length is not None:
            pieces = pieces[:length - 2]
        return [self.begin, *pieces, self.end]

    def pieces(self, word):
        if len(word) > LONGEST_WORD:
            return [self.unknown]
        numbers, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self.number.get(prefix + word[start:end])
                if number is not None:
                    break
            else:
                return [self.unknown]
            numbers.append(number)
            start = end
        return numbers


def split(text):
    """The words of a text; every mark of punctuation and every Chinese character is one."""
    text = "".join(spaced(character) for character in text if not is_removed(character))
    text = unicodedata.normalize("NFD", text)
    text = "".join(c for c in text if unicodedata.category(c) != "Mn").lower()
    return "".join(f" {c} " if is_punctuation(c) else c for c in text).split()


def spaced(character):
    if character in "\t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    return f" {character} " if is_chinese(character) else character


def is_removed(character):
    if character in "\t\n\r":
        return False
    return character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co")


def is_punctuation(character):
    ascii_mark = "!" <= character <= "~" and not character.isalnum()
    return ascii_mark or unicodedata.category(character).startswith("P")


def is_chinese(character):
    blocks = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
              (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))
    return any(first <= ord(character) <= last for first, last in blocks)
