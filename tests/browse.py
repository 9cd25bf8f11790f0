"""Open a page in Chromium, do what the arguments say, and print the text of the last element.

Arguments: the URL, and then steps, each of which waits for an element, by a CSS selector: SELECTOR
clicks it, SELECTOR=TEXT types into it or chooses a file, and the last one is only read. The
console's lines are printed first; /out/page.png shows the page at the end.
"""

import json
import sys

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import visibility_of_element_located
from selenium.webdriver.support.wait import WebDriverWait

url, *steps, last = sys.argv[1:]
options = webdriver.ChromeOptions()
options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
for option in ("headless=new", "no-proxy-server", "no-sandbox", "window-size=1200,1700"):
    options.add_argument(f"--{option}")
with webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver")) as browser:
    wait = WebDriverWait(browser, 60)
    browser.get(url)
    for step in steps:
        selector, _, text = step.partition("=")
        element = wait.until(visibility_of_element_located((By.CSS_SELECTOR, selector)))
        if element.get_attribute("type") == "file":
            element.send_keys(text)
            continue
        element.click()
        if text:
            element.send_keys(Keys.CONTROL, "a")
            element.send_keys(text)
    element = wait.until(visibility_of_element_located((By.CSS_SELECTOR, last)))
    browser.save_screenshot("/out/page.png")
    console = [line["message"] for line in browser.get_log("browser")]
    print(json.dumps({"text": element.text, "console": console}))
