"""The examples' own tests run where the examples are installed.

tests/test_authors_guide.py does that.
"""

collect_ignore = ["python"]
