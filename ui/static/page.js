() => {
  // The address carries the chat, so that a reload resumes it.
  window.telltaleThread = (thread) => {
    const url = new URL(window.location);
    if ((url.searchParams.get("thread") || "") === (thread || "")) return;
    if (thread) url.searchParams.set("thread", thread); else url.searchParams.delete("thread");
    url.hash = "";
    window.history.replaceState(null, "", url);
  };
  // The files in the question box say their names: beside the icon, or, for a picture that can be shown, when pointed at.
  window.telltaleFiles = (value) => {
    const names = (value?.files || []).map((file) => file.orig_name || (file.path || "").split("/").pop());
    window.setTimeout(() => {
      document.querySelectorAll("#tt-box .thumbnail-item").forEach((item, index) => {
        const name = names[index] || "";
        const picture = item.querySelector("img");
        item.title = name;
        if (!picture || (picture.complete && !picture.naturalWidth)) item.dataset.name = name; else item.removeAttribute("data-name");
        if (picture) picture.onerror = () => { item.dataset.name = name; };
      });
    }, 60);
  };
  // A cut title is read whole by pointing at it.
  document.addEventListener("mouseover", (event) => {
    const chat = event.target.closest?.("#tt-chats label");
    if (chat) chat.title = chat.innerText.trim();
  });
  // On a narrow page the list of chats lies over the conversation; choosing a chat makes way for it.
  document.addEventListener("click", (event) => {
    if (window.innerWidth >= 1180 || !event.target.closest?.("#tt-new, #tt-chats label")) return;
    document.querySelector("#tt-side.open .toggle-button")?.click();
  });
  // A citation opens the evidence table at its row.
  document.addEventListener("click", (event) => {
    const cite = event.target.closest("a.tt-cite");
    if (cite) {
      event.preventDefault();
      const row = document.getElementById(cite.getAttribute("href").slice(1));
      if (!row) return;
      const details = row.closest("details");
      if (details) details.open = true;
      document.querySelectorAll("tr.tt-hit").forEach((old) => old.classList.remove("tt-hit"));
      row.classList.add("tt-hit");
      row.scrollIntoView({ block: "center", behavior: "smooth" });
      return;
    }
    // A picture opens large; Escape or a click closes it.
    const zoom = event.target.closest("button.tt-zoom");
    if (zoom) {
      const image = zoom.querySelector("img");
      const dialog = document.createElement("dialog");
      dialog.className = "tt-dialog";
      dialog.setAttribute("aria-label", image.alt);
      const large = document.createElement("img");
      large.src = image.src;
      large.alt = image.alt;
      const caption = document.createElement("p");
      caption.textContent = zoom.parentElement.querySelector("figcaption")?.textContent || image.alt;
      dialog.append(large, caption);
      dialog.addEventListener("click", () => dialog.close());
      dialog.addEventListener("close", () => dialog.remove());
      document.body.append(dialog);
      dialog.showModal();
    }
  });
  // Files may be dropped anywhere on the page; outside a drop zone they go to the question box.
  const ours = (event) => event.dataTransfer?.types?.includes("Files") && !event.target.closest("#tt-normal, #tt-box");
  document.addEventListener("dragover", (event) => { if (ours(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!ours(event)) return;
    event.preventDefault();
    const input = document.querySelector("#tt-box input[type=file]");
    if (!input) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  // A new question goes to the top of the view, so that its answer is read from its first line.
  const ready = () => {
    const chat = document.querySelector("#tt-chat");
    if (!chat) return void window.setTimeout(ready, 100);
    document.querySelector("#tt-box textarea")?.setAttribute("aria-label", "Your question");
    let asked = 0;
    new MutationObserver(() => {
      const rows = chat.querySelectorAll(".user-row");
      const scroller = chat.querySelector(".bubble-wrap");
      if (rows.length > asked && scroller) {
        const last = rows[rows.length - 1];
        let room = chat.querySelector(".message-wrap");
        if (room) room.style.minHeight = `${last.offsetTop + scroller.clientHeight - 24}px`;
        window.setTimeout(() => {
          const top = last.getBoundingClientRect().top - scroller.getBoundingClientRect().top + scroller.scrollTop - 12;
          scroller.scrollTo({ top, behavior: asked > 1 ? "smooth" : "auto" });
        }, 80);
      }
      asked = rows.length;
    }).observe(chat, { childList: true, subtree: true });
    if (window.innerWidth >= 1180) document.querySelector("#tt-side:not(.open) .toggle-button")?.click();
  };
  ready();
}
