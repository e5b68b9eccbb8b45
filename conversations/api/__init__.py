"""The conversation endpoints. Each validates, calls one function, returns."""

from ninja import Router

from conversations.api import chat, conversations, messages

router = Router()
router.add_router("", conversations.router)
router.add_router("", messages.router)
router.add_router("", chat.router)
