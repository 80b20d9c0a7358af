const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => escapes[character] ?? character);

export interface PageContent {
  readonly entries: readonly string[];
  /** The pod that made this page. */
  readonly servedBy: string;
  /** What went wrong, in place of the entries. */
  readonly problem?: string;
}

/** The whole page: it works without scripts, and asks for nothing else. */
export function renderPage({ entries, servedBy, problem }: PageContent): string {
  const list =
    problem !== undefined
      ? `<p class="problem">The entries cannot be read: ${escaped(problem)}</p>`
      : entries.length === 0
        ? '<p class="empty">Nobody has written yet. Be the first.</p>'
        : `<ol>${entries.map((entry) => `<li>${escaped(entry)}</li>`).join('\n')}</ol>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Guestbook</title>
<style>
  :root { color-scheme: light dark; --line: #8884; --accent: #2f6fde; }
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 38rem; margin: 3rem auto; padding: 0 1rem; }
  h1 { font-weight: 600; margin-bottom: 1.5rem; }
  form { display: flex; gap: .5rem; margin-bottom: 1.5rem; }
  input { flex: 1; font: inherit; padding: .5rem .75rem; border: 1px solid var(--line); border-radius: .5rem; }
  button { font: inherit; padding: .5rem 1rem; border: 0; border-radius: .5rem; background: var(--accent); color: #fff; }
  ol { list-style: none; margin: 0; padding: 0; }
  li { padding: .6rem .25rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
  .empty, footer { opacity: .7; }
  .problem { color: #c33; }
  footer { margin-top: 2rem; font-size: .85rem; border-top: 1px solid var(--line); padding-top: .75rem; }
</style>
</head>
<body>
<h1>Guestbook</h1>
<form method="post" action="/entries">
<input name="entry" maxlength="500" placeholder="Write something" aria-label="Your entry" autocomplete="off" autofocus required>
<button>Sign</button>
</form>
${list}
<footer>Served by pod <strong>${escaped(servedBy)}</strong></footer>
</body>
</html>
`;
}
