import htmx from "htmx.org";
import { announceChanges } from "./announce.js";
import { showLocalTimes } from "./times.js";
import { forgetErrors, ignoreDoubleClicks, sendByKey, showAnswer } from "./read.js";
import { chooseTheme } from "./theme.js";

Object.assign(htmx.config, {
  allowEval: false, // the content security policy forbids it
  includeIndicatorStyles: false, // they would be an inline style
  attributesToSettle: ["class", "width", "height"], // no "style": a text area that was resized carries one
  historyCacheSize: 0, // reviews are not left behind in the browser's storage
  refreshOnHistoryMiss: true,
  responseHandling: [
    { code: "204", swap: false },
    { code: "[23]..", swap: true },
    { code: "422", swap: true }, // the form again, with its messages
    { code: "[45]..", swap: false, error: true },
  ],
});

showLocalTimes(document);
document.addEventListener("htmx:load", (event) => showLocalTimes(event.target));
announceChanges();
sendByKey();
showAnswer();
forgetErrors();
ignoreDoubleClicks();
chooseTheme();
