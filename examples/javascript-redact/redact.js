// An inference component in JavaScript: streams the model's answer, with e-mail addresses and long
// numbers taken out. It sees whole words only, so that nothing slips through between two pieces.
import { get } from 'infwasi:llm/settings@0.1.0';
import { Model } from 'infwasi:llm/engine@0.1.0';

const SECRETS = [
  { pattern: /[^\s@<>()"']+@[^\s@<>()"']+\.[^\s@<>()"'.,;:!?]+/gu, instead: '[e-mail]' },
  { pattern: /\+?[0-9][0-9./-]{4,}[0-9]/gu, instead: '[number]' },
];

const DISPOSE = Symbol.dispose ?? Symbol.for('dispose'); // gives a resource back to the host

const MAX_WORD = 1024; // characters; a longer word is shown in parts

function redact(text) {
  return SECRETS.reduce((kept, { pattern, instead }) => kept.replace(pattern, instead), text);
}

// What is before the last white space is complete; the rest waits for more.
function splitAfterLastSpace(text) {
  const at = text.search(/\S*$/u);
  return at === 0 && text.length > MAX_WORD ? [text, ''] : [text.slice(0, at), text.slice(at)];
}

class Generation {
  constructor(inner) {
    this.inner = inner;
    this.waiting = '';
    this.isEnded = false;
  }

  // The next piece of text, or undefined at the end.
  next() {
    while (!this.isEnded) {
      const piece = this.inner.next();
      if (piece === undefined) {
        this.isEnded = true;
        const last = redact(this.waiting);
        return last === '' ? undefined : last;
      }
      const [complete, rest] = splitAfterLastSpace(this.waiting + piece);
      this.waiting = rest;
      if (complete !== '') {
        return redact(complete);
      }
    }
    return undefined;
  }

  summary() {
    return this.inner.summary();
  }
}

function start(prompt) {
  const { model, systemPrompt, defaultPrompt, options } = get();
  const asked = prompt ?? defaultPrompt;
  if (asked === undefined) {
    throw { tag: 'invalid-argument', val: 'no prompt was given and the package has no default' };
  }
  const messages = [{ role: 'user', content: asked }];
  if (systemPrompt !== undefined) {
    messages.unshift({ role: 'system', content: systemPrompt });
  }
  const loaded = Model.load(model);
  try {
    return new Generation(loaded.start(messages, options));
  } finally {
    loaded[DISPOSE]();
  }
}

// A failure of the engine is thrown as it is, and passes through.
export const inference = {
  Generation,
  start,
  compute(prompt) {
    const generation = start(prompt);
    let text = '';
    for (let piece = generation.next(); piece !== undefined; piece = generation.next()) {
      text += piece;
    }
    return { text, summary: generation.summary() };
  },
};
