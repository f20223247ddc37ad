"""`python -m tests.coverage` writes docs/coverage.md."""

from tests.coverage.page import PAGE, text

PAGE.write_text(text(), encoding="utf-8")
print(PAGE)
