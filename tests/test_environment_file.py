"""The secrets of a service: the cases of `man systemd.exec`, EnvironmentFile=, worked out by hand."""

import pytest

from ampedge.systemd.environment_file import variables


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=plain", "plain"),
        ("A =  two words \t\r\n", "two words"),
        ("A=", ""),
        ("A=x#y # z", "x#y # z"),
        ('A=it\'s "so"', 'it\'s "so"'),
        (r"A=one\two", "onetwo"),
        (r"A=one\\two", r"one\two"),
        ("A=end\\ \n", "end "),
        ("A=one \\\n two\n", "one  two"),
        ("A='one \\ \"two\" '  \n", 'one \\ "two" '),
        ("A='one\ntwo'", "one\ntwo"),
        ('A=" one\ntwo "', " one\ntwo "),
        ('A="one\\\ntwo"', "onetwo"),
        (r'A="\"\\\`\$\w"', r'"\`$\w'),
        ("A='one' \"two\"three", "onetwothree"),
        ("A='never ends\nB=2", "never ends\nB=2"),
        ('A="never ends\\', "never ends"),
        ("A=1\nA=2\n", "2"),
        ("A=never ends\\", "never ends"),
    ],
)
def test_a_value_is_read_as_systemd_reads_it(text: str, value: str) -> None:
    assert variables(text) == {"A": value}


def test_each_line_is_a_variable_or_passed_over() -> None:
    text = "\n# A=1 \\\n ; A=2\nno variable\n9=x\nexport A=3\n  B=4\nC='5'\n\nD=\\\n6"
    assert variables(text) == {"B": "4", "C": "5", "D": "6"}
