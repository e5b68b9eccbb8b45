"""The admin in a real browser, on a real server: what a reviewer of conversations does."""

import json
import tempfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.conftest import fake
from tests.fakes.database import Databases, manage
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",  # it does not run as root with one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)
USER, PASSWORD = "root", "a-password-of-the-tests"
EVENT_URL = "https://sentry.example.com/issues/?query={event_id}"
SECONDS = 15
"""How long a page may take to become what the test waits for."""

missing = [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]
pytestmark = pytest.mark.skipif(
    bool(missing),
    reason=f"missing: {', '.join(missing)}; install the Debian packages chromium and chromium-driver",
)


class Browser:
    """Selenium, as far as the tests need it."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        self.url = url

    def open(self, path: str) -> None:
        self.driver.get(self.url + path)

    def all(self, css: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", css))

    def one(self, css: str) -> Any:
        """Waits for the first element that matches, to be seen."""
        from selenium.webdriver.support.expected_conditions import visibility_of_element_located
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, SECONDS).until(visibility_of_element_located(("css selector", css)), css)

    def click(self, css: str) -> None:
        self.one(css).click()

    def fill(self, css: str, text: str) -> None:
        self.one(css).send_keys(text)

    def choose(self, css: str, label: str) -> None:
        from selenium.webdriver.support.select import Select

        Select(self.one(css)).select_by_visible_text(label)

    def texts(self, css: str) -> list[str]:
        """Of all elements that match, as they are seen; in one step, since a page may be changing them."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText.trim())"
        return list(self.driver.execute_script(script, css))

    def log_in(self) -> None:
        self.open("/admin/")
        self.fill("[name=username]", USER)
        self.fill("[name=password]", PASSWORD)
        self.click("[type=submit]")
        self.one("#logout-form")

    def asked_for(self) -> set[str]:
        """The addresses that the pages have asked for since the last call."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return {e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"}

    def complaints(self) -> list[str]:
        """Errors on the console since the last call; Chromium asks every site for an icon, and this one has none."""
        messages = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in messages if "/favicon.ico" not in message]


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    from selenium import webdriver

    with tempfile.TemporaryDirectory(prefix="chat-browser-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
        try:
            yield chromium
        finally:
            chromium.quit()


@pytest.fixture(scope="module")
def ingest() -> Iterator[Ingest]:
    with Ingest() as ingest:
        yield ingest


class BlankPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>elsewhere</title>")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The origin of another site, whose pages are blank."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BlankPage) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def site(databases: Databases, _provider: Provider, ingest: Ingest, elsewhere: str) -> Iterator[Server]:
    """A server of these tests' own, with a superuser."""
    database = databases.new()
    options = ("--noinput", "--username", USER, "--email", "root@example.com")
    manage(database.url, "createsuperuser", *options, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    environment = {**fake(_provider), "SENTRY_DSN": ingest.dsn, "SENTRY_EVENT_URL": EVENT_URL}
    environment["CORS_ALLOWED_ORIGINS"] = elsewhere
    with Server(database, databases.keys, **environment) as server:
        yield server


@pytest.fixture
def browser(driver: Any, site: Server) -> Browser:
    driver.delete_all_cookies()
    browser = Browser(driver, site.url)
    browser.asked_for()
    browser.complaints()
    browser.log_in()
    return browser


def test_a_reviewer_finds_a_failed_turn_and_its_event(browser: Browser, site: Server, ingest: Ingest) -> None:
    alice = site.client("alice")
    conversation = alice.conversation(title="The weather in Rome")
    alice.say(conversation["id"], "Will it rain?")
    alice.say(conversation["id"], "And tomorrow?", model="error-in-stream")
    (event,) = ingest.wait("event")
    poll(lambda: alice.get("/api/conversations/search?q=tomorrow").json()["items"], 10, "index")

    browser.click("a[href='/admin/conversations/conversation/']")
    browser.fill("#searchbar", "tomorrow\n")
    browser.one(".quiet")  # how many of all
    assert browser.texts("#result_list .field-__str__") == ["The weather in Rome"]
    assert browser.texts("#result_list .field-message_count") == ["4"]
    assert browser.texts("#result_list .field-failures") == ["1"]
    browser.click("#result_list .field-__str__ a")

    browser.one(".transcript")
    assert browser.texts(".message h3") == ["User", "Assistant", "User", "Assistant"]
    assert browser.texts(".message .verbatim") == [
        "Will it rain?",
        "You said: Will it rain?",
        "And tomorrow?",
        "one two three",
    ]
    assert browser.texts(".message .status") == ["Completed", "Failed"]
    link = browser.one(".message.failed .event")
    assert link.text == "Open in Sentry"
    assert link.get_attribute("href") == EVENT_URL.format(event_id=event["event_id"])
    assert not browser.all("[name=_save]")
    assert browser.complaints() == []


def test_what_a_user_writes_does_not_run(browser: Browser, site: Server) -> None:
    hostile = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
    alice = site.client("alice")
    conversation = alice.conversation(title=hostile, system_prompt=hostile, metadata={hostile: hostile})
    alice.say(conversation["id"], hostile)
    browser.open("/admin/conversations/conversation/")
    assert browser.texts("#result_list .field-__str__")[0] == hostile
    browser.open(f"/admin/conversations/conversation/{conversation['id']}/change/")
    assert browser.texts(".message .verbatim") == [hostile, f"You said: {hostile}"]
    assert "owned" not in browser.driver.title.replace(hostile, "")
    assert not browser.all("img[src=x]")
    assert browser.complaints() == []


def test_an_api_key_is_created_used_and_revoked(browser: Browser, site: Server) -> None:
    browser.click("#content-main a[href='/admin/apikeys/apikey/add/']")
    browser.fill("[name=name]", "laptop of Bob")
    browser.click(".field-user .select2-selection")
    browser.fill(".select2-search__field", "bob")
    poll(lambda: browser.texts(".select2-results__option") == ["bob"], SECONDS, "the one user that fits")
    browser.click(".select2-results__option")
    browser.one("#select2-id_user-container[title=bob]")
    browser.click("[name=_save]")
    key = browser.one(".plain-key").text
    assert site.client_with(key).get("/api/conversations").status_code == 200

    browser.open("/admin/apikeys/apikey/")
    assert key not in browser.driver.page_source
    assert browser.texts("#result_list .field-name")[0] == "laptop of Bob"
    browser.click("#result_list tbody tr:first-child .action-select")
    browser.choose("[name=action]", "Revoke selected keys")
    browser.click("button[name=index]")
    assert browser.one(".messagelist .success").text.startswith("1 key was revoked.")
    assert browser.texts("#result_list .field-state")[0] == "Revoked"
    assert site.client_with(key).get("/api/conversations").status_code == 401
    assert browser.complaints() == []


def test_the_admin_asks_nobody_else_for_anything(browser: Browser, site: Server) -> None:
    alice = site.client("alice")
    conversation = alice.conversation()
    alice.say(conversation["id"], "![a picture](https://example.com/picture.png)")
    transcript = f"/admin/conversations/conversation/{conversation['id']}/change/"
    for path in ("/admin/", "/admin/conversations/conversation/", transcript, "/admin/apikeys/apikey/add/"):
        browser.open(path)
        browser.one("#content")
    asked = browser.asked_for()
    assert f"{site.url}/static/conversations/admin.css" in asked
    assert [url for url in asked if not url.startswith((f"{site.url}/", "data:"))] == []


def test_the_documentation_works_under_its_policy(browser: Browser, site: Server) -> None:
    browser.open("/api/docs")
    browser.one("#operations-tag-conversations")
    assert "AI chat API" in browser.one(".info .title").text
    browser.click("#operations-tag-conversations")  # closes it
    browser.click("#operations-tag-conversations")
    assert len(browser.all(".opblock")) > 20
    assert browser.complaints() == []


@pytest.mark.parametrize("path", ["/admin/", "/api/docs"])
def test_a_script_in_a_page_does_not_run(browser: Browser, path: str) -> None:
    """If ever one got in: the policy refuses what is not a file of ours."""
    browser.open(path)
    browser.driver.execute_script(
        "const s = document.createElement('script'); s.textContent = \"document.title = 'owned'\";"
        " document.body.append(s);"
        " const i = document.createElement('img'); i.src = 'https://evil.example.com/x'; document.body.append(i)"
    )
    assert browser.driver.title != "owned"
    seen: list[str] = []

    def refused() -> bool:
        seen.extend(browser.complaints())
        return any("inline script" in c for c in seen) and any("evil.example.com" in c for c in seen)

    poll(refused, 5, "refusal of both")


FETCH = """
const [url, options, done] = arguments;
fetch(url, options)
    .then(async r => done([r.status, r.headers.get("x-request-id"), await r.text()]))
    .catch(error => done(String(error)));
"""


def test_a_page_of_a_listed_origin_calls_the_api_and_reads_a_stream(
    browser: Browser, site: Server, databases: Databases, elsewhere: str
) -> None:
    headers = {"Authorization": f"Bearer {databases.keys['alice']}", "Content-Type": "application/json"}
    body = json.dumps({"message": "hello", "stream": True})
    call = (f"{site.url}/api/chat", {"method": "POST", "headers": headers, "body": body})
    browser.driver.get(elsewhere)
    status, request_id, text = browser.driver.execute_async_script(FETCH, *call)
    assert (status, len(request_id)) == (200, 32)
    assert "event: message.completed" in text
    status, _, text = browser.driver.execute_async_script(FETCH, f"{site.url}/api/chat/nobody", call[1])
    assert (status, json.loads(text)["code"]) == (400, "unknown_provider")

    browser.driver.get(elsewhere.replace("127.0.0.1", "localhost"))
    assert "Failed to fetch" in browser.driver.execute_async_script(FETCH, *call)
    browser.complaints()
