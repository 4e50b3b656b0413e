"""
Texts as words and sentences, in any script.

Grain: one list of tokens for each sentence of a text. Takes text, gives tokens: words after NFKC and case
folding (Unicode Annex 15; The Unicode Standard, 3.13), without what is not written to be read: Arabic vowel
marks and tatweel, and format characters such as joiners, soft hyphens and zero-width spaces. Scripts without
spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) give character 3-grams instead of
words, as in McNamee and Mayfield, "Character N-Gram Tokenization for European Language Text Retrieval"
(2004). A text without a letter or a digit has no tokens. A text counts to its first `CHARACTERS_MAX`
characters.

>>> words_of("The CAFÉ's menu, again.")
['the', "café's", 'menu', 'again']
>>> words_of("東京大学へ行く")
['東京大', '京大学', '大学へ', '学へ行', 'へ行く']
>>> words_of("كِتَابٌ جديد")
['كتاب', 'جديد']
>>> sentences_of("One. Two words? Two words!")
[['one'], ['two', 'words'], ['two', 'words']]

Source: analytics.md, "analyze_thinking_quality": its tokens.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

CHARACTERS_MAX: Final = 60_000  # the longest essay that the core API takes
GRAM: Final = 3

# Words are cut from folded text: letters and digits with their marks, joined by an apostrophe inside.
_MARKS: Final = "".join(chr(code) for code in range(0x10000) if unicodedata.category(chr(code))[0] == "M")
_PLAIN: Final = re.compile("[a-z0-9]+(?:'[a-z0-9]+)*")
_LETTERS: Final = f"[^\\W_](?:[^\\W_]+|[{_MARKS}]+)*"
_WORD: Final = re.compile(f"{_LETTERS}(?:'{_LETTERS})*")
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)
# Of folded text, whose full-width marks are ideographic full stops: those end a sentence without a space.
_SENTENCE_END: Final = re.compile(
    "[.!?\u061f\u06d4]+[\"'\u201d\u00bb)\\]]*(?=\\s|$)|\u3002+|[\r\n\u2028\u2029]+"
)
_FULL_WIDTH: Final = str.maketrans("\uff01\uff1f\uff61", "\u3002\u3002\u3002")
# Harakat, tatweel, the superscript alef and Quranic signs: the same word with and without them.
_UNREAD: Final = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]")

# Words that carry grammar and not content. English: articles, pronouns, prepositions, conjunctions,
# auxiliaries; Arabic: the same classes as free words. Other languages have none: there each new word counts.
_GRAMMAR: Final = """
    a about above after again against all also although am an and any are aren't as at be because been before
    being below between both but by can can't cannot could couldn't did didn't do does doesn't doing don't
    down during each either else few for from further had hadn't has hasn't have haven't having he her here
    hers herself him himself his how however i if in into is isn't it it's its itself just let may me might
    more most must my myself neither no nor not now of off on once one only or other our ours ourselves out
    over own rather same shall she should shouldn't since so some such than that that's the their theirs them
    themselves then there these they this those though through thus to too under until unless up upon us very
    was wasn't we were weren't what when where whether which while who whom whose why will with within without
    won't would wouldn't yet you your yours yourself yourselves

    في من إلى على عن مع منذ حتى بين عند لدى حول خلال بعد قبل تحت فوق أمام وراء ضد دون بدون غير سوى إلا لكن بل
    أو أم ثم كما كأن لأن لأنه لأنها إذ إذا إن أن أنه أنها إنه إنها لو لولا لما لم لن لا ما ليس ليست قد لقد سوف
    كان كانت كانوا يكون تكون هو هي هم هن أنا أنت أنتم نحن هذا هذه هذان هاتان هؤلاء ذلك تلك أولئك الذي التي
    اللذان اللتان الذين اللاتي كل كلا كلتا بعض أي أية كيف متى أين كم لماذا ماذا هل هنا هناك هنالك أيضا حيث
    بينما عندما و ف ب ل ك فإن وإن وأن ولا وما وهو وهي وفي ومن وعلى وإلى وقد له لها لهم به بها فيه فيها منه
    منها عليه عليها
"""
STOP_WORDS: Final = frozenset(_GRAMMAR.split())


def folded(text: str) -> str:
    """Return a text as tokens are cut from it: bounded, in one spelling, without what is not read."""
    bounded = text[:CHARACTERS_MAX]
    if bounded.isascii():
        return bounded.casefold()
    plain = unicodedata.normalize("NFKC", bounded.translate(_FULL_WIDTH)).casefold()
    plain = _UNREAD.sub("", unicodedata.normalize("NFKC", plain)).replace("\u2019", "'")
    return "".join(each for each in plain if each.isascii() or unicodedata.category(each) != "Cf")


def sentences_of(text: str) -> list[list[str]]:
    """Return the tokens of each sentence that has any; a sentence ends at its mark, or with its line."""
    cut = (_tokens(each) for each in _SENTENCE_END.split(folded(text)))
    return [tokens for tokens in cut if tokens]


def words_of(text: str) -> list[str]:
    """Return a text's tokens in their order."""
    return [token for sentence in sentences_of(text) for token in sentence]


def said_once(sentences: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return sentences without those that were said before: a text that repeats itself says no more."""
    return list(dict.fromkeys(map(tuple, sentences)))


def content_words(tokens: Iterable[str]) -> set[str]:
    """Return the distinct tokens that are no stop words."""
    return {
        each for each in tokens if each not in STOP_WORDS and each.replace("\u2019", "'") not in STOP_WORDS
    }


def _tokens(plain: str) -> list[str]:
    if plain.isascii():
        return _PLAIN.findall(plain)
    return [token for word in _WORD.findall(plain) for token in _split(word)]


def _split(word: str) -> list[str]:
    """Return a word, its stretches of scripts without spaces cut into grams."""
    if not _UNSPACED.search(word):
        return [word]
    tokens: list[str] = []
    for is_unspaced, stretch in groupby(word, key=lambda each: bool(_UNSPACED.match(each))):
        run = "".join(stretch)
        if is_unspaced and len(run) > GRAM:
            tokens += [run[at : at + GRAM] for at in range(len(run) - GRAM + 1)]
        else:
            tokens.append(run)
    return tokens
