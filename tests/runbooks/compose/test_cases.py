"""Every form of a Compose file: the file before, the operations, the file after."""

from __future__ import annotations

from runbooks.compose import project, splice, splices
from runbooks.compose.model import ProjectSpec, Service, Span
from tests.runbooks.compose.material import CASES, ROOT, Case


def test_the_files_afterwards_are_those_of_the_case(case: Case) -> None:
    applied = splice.apply(case.stack, case.operations)
    assert {name: applied.stack.files[f"{ROOT}/{name}"] for name in case.after} == case.after


def test_files_that_a_case_does_not_name_stay_as_they_are(case: Case) -> None:
    applied = splice.apply(case.stack, case.operations)
    untouched = {name: data for name, data in case.before.items() if name not in case.after}
    assert {name: applied.stack.files.get(f"{ROOT}/{name}", data) for name, data in untouched.items()} == untouched


def test_what_cannot_be_done_is_refused_with_its_reason(case: Case) -> None:
    refused = splice.apply(case.stack, case.operations).refused
    assert len(refused) == len(case.refused), refused
    for found, words in zip(refused, case.refused, strict=True):
        assert words in f"{found.place.path}:{found.place.line}: {found.reason} ({found.mend})"


def test_asking_again_changes_nothing(case: Case) -> None:
    first = splice.apply(case.stack, case.operations)
    held = [
        operation for operation in case.operations if all(operation is not each.operation for each in first.refused)
    ]
    settled = [operation for operation in held if type(operation).__name__ not in ("ReplaceText", "ReferText")]
    assert splice.apply(first.stack, settled).edits == ()


def test_taking_the_splices_back_gives_the_bytes_before(case: Case) -> None:
    applied = splice.apply(case.stack, case.operations)
    back = splices.undone(applied.stack.files, applied.edits, case.stack.files)
    assert back == {path: case.stack.files.get(path, b"") for path in back}


def test_reading_the_result_anew_gives_the_stack_that_was_returned(case: Case) -> None:
    applied = splice.apply(case.stack, case.operations)
    again = project.load(case.stack.spec, applied.stack.files)
    assert (again.services, again.value, again.warnings) == (
        applied.stack.services,
        applied.stack.value,
        applied.stack.warnings,
    )
    assert [_spans(service) for service in again.services.values()] == [
        _spans(service) for service in applied.stack.services.values()
    ]


def _spans(service: Service) -> dict[str, tuple[Span, ...]]:
    return {name: variable.spans for name, variable in service.environment.items()}


def test_there_are_cases_for_at_least_sixty_forms() -> None:
    assert len(CASES) >= 60


def test_the_same_file_with_dos_line_ends_keeps_them(case: Case) -> None:
    if any(b"\r" in data for data in case.before.values()):
        return  # the case is about line ends itself
    files = {path: data.replace(b"\n", b"\r\n") for path, data in case.stack.files.items()}
    applied = splice.apply(project.load(case.stack.spec, files), case.operations)
    unix = {path: data.replace(b"\r\n", b"\n") for path, data in applied.stack.files.items()}
    assert unix == dict(splice.apply(case.stack, case.operations).stack.files)
    assert all(data.count(b"\n") == data.count(b"\r\n") for data in applied.stack.files.values())


def test_a_tag_makes_a_text_of_a_variable_that_looks_like_a_number() -> None:
    """Compose 2.26.1 renders 010 for the tagged one, and 8 for the other."""
    text = b"services:\n  web:\n    environment:\n      TAGGED: !!str 010\n      PLAIN: 010\n"
    stack = project.load(ProjectSpec(ROOT, "x", ("compose.yml",)), {f"{ROOT}/compose.yml": text})
    found = {name: variable.value for name, variable in stack.services["web"].environment.items()}
    assert found == {"TAGGED": "010", "PLAIN": "8"}
