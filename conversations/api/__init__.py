"""The conversation endpoints. Each validates, calls one function, returns."""

from ninja import Router

from conversations.api import assistants, branching, chat, conversations, messages, search, stats, streams, transfer

router = Router()
router.add_router("", chat.router)  # first, since a request is matched against one path after the other
router.add_router("", conversations.router)
router.add_router("", messages.router)
router.add_router("", branching.router)
router.add_router("", assistants.router)
router.add_router("", streams.router)
router.add_router("", transfer.router)
router.add_router("", search.router)
router.add_router("", stats.router)
