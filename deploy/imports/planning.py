"""
How a file of foreign rows becomes exams with results. Pure but for the reading.

A row is an answer, a version of a text, or, in a wide file, an answer in each of its columns. Rows of the
same exam, candidate and attempt are one result. What cannot be right is named with its line. Nothing is
guessed: no key, no points, no time. A result is never changed once it is stored, so one with a faulty row is
left out whole.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from core_api.authoring.items import ESSAY_LENGTH_MAX
from core_api.submissions.imported import ATTEMPTS_MAX, DRAFTS_MAX, EarlierVersion, GivenAnswer, GivenResult
from core_api.submissions.imported_forms import ITEMS_MAX, FormItem, ImportedForm
from deploy.imports.forms import About, choose, form_item, kind_of, listed, number_in, read_items, response_of
from deploy.imports.groups import group_in
from deploy.imports.mapping import VALUE, Mapping, with_known
from kernel.files.findings import Finding, Kind, RowError
from kernel.files.mapping import parts_of, zone_of
from kernel.files.reading import UnreadableError
from kernel.files.rows import Options, open_records
from kernel.files.values import Row, moment, whole_in
from kernel.values import wrong_text

NAME_MAX: Final = 200
_CHUNK: Final = 1 << 20

Place = tuple[str, int]  # of a result in its exam: candidate, attempt


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be imported: `at` is when results were handed in whose rows do not say it."""

    file: Path
    mapping: Mapping
    items: Path | None = None
    at: datetime | None = None
    is_mapped: bool = True  # by a mapping file: nothing else is a field then
    options: Options = Options()


class Exam(msgspec.Struct, kw_only=True):
    """An exam of the file."""

    form: ImportedForm
    results: list[GivenResult]


class Plan(msgspec.Struct, kw_only=True):
    """A file as exams with results; `findings`: what is wrong with rows, in the order of their lines."""

    file_sha256: str
    rows: int
    exams: list[Exam]
    findings: list[Finding]
    unread: list[str]


class _Given(msgspec.Struct, kw_only=True):
    """What the rows of a result said of one item."""

    line: int
    raw: Any = None
    column: str = ""
    points: float | None = None
    seconds: float | None = None
    versions: list[tuple[int | None, datetime | None, int, str]] = msgspec.field(default_factory=list)


class _Result(msgspec.Struct, kw_only=True):
    """A result as its rows are read; `is_faulty`: a row of it is."""

    line: int
    answers: dict[str, _Given] = msgspec.field(default_factory=dict)
    began: datetime | None = None
    ended: datetime | None = None
    group: str | None = None
    is_faulty: bool = False


def plan(source: Source) -> Plan:
    """
    Read a file into exams with results.

    Raises:
        MappingError: an option is not possible.
        OSError: a file cannot be opened or read.
        UnreadableError: a file is no text, or has no such columns, or too many rows.
    """
    findings: list[Finding] = []
    items = read_items(source.items, Options(), findings) if source.items is not None else {}
    findings = [each for each in findings if each.refuses or each.kind is Kind.damaged]
    if findings:
        raise UnreadableError(f"{source.items}: {findings[0]}")
    with open_records(source.file, source.mapping, [], source.options) as records:
        if records.layout is None:
            return Plan(file_sha256=sha256_of(source.file), rows=0, exams=[], findings=[], unread=[])
        mapping = records.layout
        if not source.is_mapped:
            mapping = with_known(mapping, records.unread)
        reader = _Reader(mapping, items, source.at)
        for line, row in records.read(source.options.limit):
            reader.take(line, row)
        reader.findings += records.damage
        unread = [each for each in records.unread if each not in mapping.columns]
    exams = reader.exams()
    return Plan(
        file_sha256=sha256_of(source.file),
        rows=reader.rows,
        exams=exams,
        findings=sorted(reader.findings, key=lambda finding: finding.line),
        unread=unread if mapping.wide is None else [],
    )


def sha256_of(path: Path) -> str:
    """Return the hash of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


class _Reader:
    """Takes rows into results, one by one."""

    def __init__(self, mapping: Mapping, items: dict[str, About], at: datetime | None) -> None:
        self.rows = 0
        self.findings: list[Finding] = []
        self._mapping = mapping
        self._at = at
        self._listed = items
        self._zone = zone_of(mapping.time.zone) if mapping.time and mapping.time.zone else None
        self._names = {field: parts_of(getattr(mapping, field)) for field in ("exam", "candidate", "item")}
        self._columns = {
            field: tuple(column for _, column in parts if column) for field, parts in self._names.items()
        }
        self._named: dict[tuple[str, ...], str] = {}  # by field and values as they stood
        self._wide = None if mapping.wide is None else re.compile(mapping.wide.columns)
        self._results: dict[str, dict[Place, _Result]] = {}  # by exam
        self._items: dict[str, dict[str, About]] = {}  # by exam, in the order of the file

    def take(self, line: int, row: Row | RowError) -> None:
        """Take a row."""
        self.rows += 1
        if isinstance(row, RowError):
            self.findings.append(row.at(line))
            return
        for each in self._parts(row):
            result: _Result | None = None
            try:
                exam = self._name(each, "exam")
                result = self._result(line, exam, each)
                self._answer(line, exam, each, result)
            except RowError as error:
                self.findings.append(error.at(line))
                if result is not None:
                    result.is_faulty = True

    def _parts(self, row: Row) -> Iterator[Row]:
        """Yield a row, or in a wide file one for each of its columns that is an item."""
        if self._wide is None:
            yield row
            return
        for name, value in row.items():
            if (found := self._wide.fullmatch(name)) is not None:
                yield {**row, **found.groupdict(), VALUE: value}

    def _result(self, line: int, exam: str, row: Row) -> _Result:
        """Return the result that a row is of; raises RowError where nobody can say which."""
        attempt: Any = 1
        if self._mapping.attempt is not None:
            attempt = whole_in(row.get(self._mapping.attempt))
            if not isinstance(attempt, int) or not 1 <= attempt <= ATTEMPTS_MAX:
                raise RowError(Kind.unreadable_number, "it is no number of an attempt", self._mapping.attempt)
        of_exam = self._results.setdefault(exam, {})
        place = (self._name(row, "candidate"), attempt)
        found = of_exam.get(place)
        if found is None:
            found = of_exam[place] = _Result(line=line)
        return found

    def _name(self, row: Row, field: str) -> str:
        """Return a text of the mapping with the row's values in it; raises RowError."""
        place = (field, *(repr(row.get(column)) for column in self._columns[field]))
        name = self._named.get(place)
        if name is None:
            name = self._named[place] = self._new_name(row, field)
        return name

    def _new_name(self, row: Row, field: str) -> str:
        texts: list[str] = []
        for before, column in self._names[field]:
            texts.append(before)
            if column is not None:
                value = row.get(column)
                if value is None or (isinstance(value, str) and not value.strip()):
                    raise RowError(Kind.absent, f"nothing stands there, and it names the {field}", column)
                texts.append(str(value).strip())
        name = "".join(texts)
        wrong = wrong_text(name)
        if wrong is None and ("\n" in name or len(name) > NAME_MAX):
            wrong = f"it is longer than a line of {NAME_MAX} characters"
        if wrong is not None:
            raise RowError(Kind.unusable_text, f"the {field} cannot be called so: {wrong}")
        return name

    def _answer(self, line: int, exam: str, row: Row, result: _Result) -> None:
        """Take what a row says of its item; raises RowError."""
        mapping, name = self._mapping, self._name(row, "item")
        began, ended = self._times(exam, row)
        about = self._about(exam, name, row)
        given = result.answers.get(name)
        if given is not None and mapping.text is None:
            raise RowError(Kind.twice, f"the item stands in line {given.line} of this result, too")
        if given is None:
            given = result.answers[name] = _Given(line=line)
        if mapping.text is not None:
            self._version(line, row, given, None if mapping.time is None else ended)
        column = mapping.option or mapping.response
        if column is not None:
            given.raw, given.column = row.get(column), column
            if mapping.option is not None and given.raw not in (None, ""):
                choose(about, [given.raw])
        if (score := self._number(row, mapping.score)) is not None:
            given.points = score
        if (seconds := self._number(row, mapping.seconds)) is not None:
            given.seconds = seconds * mapping.seconds_scale
        result.group = group_in(row, mapping.group, result.group)
        result.began = began if result.began is None else min(result.began, began)
        result.ended = ended if result.ended is None else max(result.ended, ended)
        if result.began > result.ended:
            raise RowError(Kind.out_of_bounds, Kind.ends_early.words)

    def _number(self, row: Row, column: str | None) -> float | None:
        """Return a number of 0 or more; None where none stands there. Raises RowError."""
        value = None if column is None else row.get(column)
        if column is None or value is None or value == "":
            return None
        return number_in(value, column)

    def _times(self, exam: str, row: Row) -> tuple[datetime, datetime]:
        """Return when a row began and ended; raises RowError."""
        time = self._mapping.time
        if time is None:
            at = self._mapping.at.get(exam, self._at)
            if at is None:
                raise RowError(Kind.absent, "no column says when it was: name it with --time, or say --at")
            return at, at
        began = moment(row, time.column, time, self._zone)
        return began, began if time.end_column is None else moment(row, time.end_column, time, self._zone)

    def _about(self, exam: str, name: str, row: Row) -> About:
        """Return what is known of an item, with what this row says of it; raises RowError."""
        mapping, items = self._mapping, self._items.setdefault(exam, {})
        if name not in items:
            if len(items) == ITEMS_MAX:
                raise RowError(Kind.out_of_bounds, f"the exam would have more than {ITEMS_MAX} items")
            known = self._listed.get(name)
            if known is None and self._listed:
                raise RowError(Kind.unusable_text, "the file of items has no such item")
            items[name] = msgspec.structs.replace(known, chosen=set()) if known else About()
        about = items[name]
        points = self._number(row, mapping.max_score)
        if points is not None:
            if about.points not in (None, points):
                raise RowError(Kind.twice, f"the item had {about.points:g} points before", mapping.max_score)
            about.points = points
        for field, column in (("key", mapping.key), ("topics", mapping.topics)):
            said = [] if column is None else listed(row.get(column) or "")
            if said and getattr(about, field) not in ([], said):
                raise RowError(Kind.twice, f"another row said something else of the item's {field}", column)
            if said:
                setattr(about, field, said)
        return about

    def _version(self, line: int, row: Row, given: _Given, at: datetime | None) -> None:
        """Take a row as a version of a text; raises RowError."""
        column = self._mapping.text
        assert column is not None, "asked for where there is one"
        text = row.get(column)
        if not isinstance(text, str) or (wrong_text(text) is not None) or len(text) > ESSAY_LENGTH_MAX:
            raise RowError(Kind.unusable_text, "it is no text, or too long for one", column)
        number = None
        if self._mapping.version is not None:
            found = whole_in(row.get(self._mapping.version))
            if not isinstance(found, int):
                raise RowError(Kind.unreadable_number, "it is no number of a version", self._mapping.version)
            number = found
            if any(number == each for each, _, _, _ in given.versions):
                raise RowError(Kind.twice, "the version stands there twice", self._mapping.version)
        if len(given.versions) > DRAFTS_MAX:
            raise RowError(Kind.out_of_bounds, f"the text would have more than {DRAFTS_MAX} versions")
        given.versions.append((number, at, line, text))

    # -- what the rows come to

    def exams(self) -> list[Exam]:
        """Return the exams, with the results that have no fault."""
        exams = []
        for title, items in self._items.items():
            form = self._form(title, items)
            if form is None:
                continue
            results = [
                made
                for (candidate, attempt), result in self._results[title].items()
                if not result.is_faulty
                and (made := self._made(candidate, attempt, result, items)) is not None
            ]
            if results:
                exams.append(Exam(form=form, results=results))
        return exams

    def _form(self, title: str, items: dict[str, About]) -> ImportedForm | None:
        """Return an exam's form; None, and a finding more for each item that cannot be one."""
        made: list[FormItem] = []
        for name, about in items.items():
            points = self._mapping.points if about.points is None else about.points
            try:
                made.append(form_item(name, about, points, is_choice=self._mapping.option is not None))
            except RowError as error:
                self.findings.append(error.at(max(about.line, 1)))
        if len(made) != len(items):
            return None
        compare = self._mapping.compare
        return ImportedForm(
            title=title,
            items=made,
            reference_group=None if compare is None else compare.reference,
            focal_group=None if compare is None else compare.focal,
        )

    def _made(
        self, candidate: str, attempt: int, result: _Result, items: dict[str, About]
    ) -> GivenResult | None:
        """Return a result; None, and one finding more, where an answer of it does not fit its item."""
        try:
            answers = [self._given(name, each, items[name]) for name, each in result.answers.items()]
        except RowError as error:
            self.findings.append(error.at(result.line))
            return None
        assert result.ended is not None, "a result has a row"
        has_begun = self._mapping.time is not None and self._mapping.time.end_column is not None
        return GivenResult(
            line=result.line,
            candidate=candidate,
            attempt=attempt,
            started_at=result.began if has_begun and result.began is not None else msgspec.UNSET,
            finalised_at=result.ended,
            answers=answers,
            group=result.group,
        )

    def _given(self, name: str, given: _Given, about: About) -> GivenAnswer:
        kind = kind_of(about, is_choice=self._mapping.option is not None)
        points = self._mapping.points if about.points is None else about.points
        if given.points is not None and given.points > points:
            why = f"{given.points:g} points, and the item has {points:g}: say more with --points or max_score"
            raise RowError(Kind.out_of_bounds, why, name)
        if given.versions:
            # By their numbers; without those, by their times; without those, as they stand.
            ordered = sorted(given.versions, key=lambda each: each[0] or 0)
            if all(number is None and at is not None for number, at, _, _ in ordered):
                ordered = sorted(ordered, key=lambda each: (each[1], each[2]))
            *before, last = ordered
            return GivenAnswer(
                item=name,
                response=response_of(last[3], "essay", name),
                points=given.points,
                seconds=given.seconds,
                at=last[1],
                drafts=[EarlierVersion(text=text, at=at) for _, at, _, text in before],
            )
        return GivenAnswer(
            item=name,
            response=response_of(given.raw, kind, given.column or name),
            points=given.points,
            seconds=given.seconds,
        )
