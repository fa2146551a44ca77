"""Models: what is sent and answered, as JSON has it; the document is made of them. No address is in one, and no secret but a new one."""

from __future__ import annotations
