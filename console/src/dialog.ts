/** A question in front of the page. The browser keeps the focus inside, and gives it back; Escape and a click beside it close. */
import { html } from "htm/preact";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

interface DialogProps {
  readonly title: string;
  readonly close: () => void;
  readonly children?: ComponentChildren;
}

export function Dialog({ title, close, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    // Closed while it still stands in the page: only so does the focus go back to where it was.
    return () => element?.close();
  }, []);
  const beside = (event: Event) => event.target === dialog.current && close();
  return html`<dialog ref=${dialog} aria-label=${title} onClose=${close} onClick=${beside}>
    <div class="sheet"><h2>${title}</h2>${children}</div></dialog>`;
}
