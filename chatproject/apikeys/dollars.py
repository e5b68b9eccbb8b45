"""US dollars in the database, exact: a column of whole units of 10^-8 dollars, as fine as a message's cost.

SQLite adds decimals up as floats, and a sum that is off by a hair lets one turn too many through a budget.
"""

from decimal import ROUND_CEILING, Decimal
from typing import Any

from django.db import models

UNIT = Decimal("0.00000001")


def rounded_up(amount: Decimal) -> Decimal:
    """To the unit: what is reserved must not be less than what is spent."""
    return amount.quantize(UNIT, ROUND_CEILING)


class DollarField(models.BigIntegerField):  # type: ignore[type-arg]
    """A Decimal in Python, whole units in the database, so that SUM and + are exact there too."""

    _pyi_private_set_type: Any  # read by the type checker alone
    _pyi_private_get_type: Any

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        # int(): PostgreSQL's SUM of a bigint is a numeric.
        return None if value is None else int(value) * UNIT

    def to_python(self, value: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    def get_prep_value(self, value: Any) -> int | None:
        return None if value is None else int((Decimal(value) / UNIT).to_integral_value())
