// The field of aurl/classify/page.py: videos are dropped on it, or chosen after a press.
const MOST = 9; // megabytes: Jupyter's server ends the connection at a message of 10 MiB

function render({ model, el }) {
  const field = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "file", accept: "video/*", multiple: true });
  const said = document.createElement("span");
  field.className = "aurl-drop";
  field.append(said, input);
  el.append(field);

  function say() {
    const names = model.get("files").map((file) => file.name);
    said.textContent = names.join(", ") || "Drop videos here, or press to choose them"; // text, so that no name is markup
  }

  async function take(files) {
    const megabytes = [...files].reduce((sum, file) => sum + file.size, 0) / 1e6;
    if (megabytes > MOST) {
      said.textContent = `These are ${Math.ceil(megabytes)} MB and a notebook takes ${MOST} at a time: drop fewer, or ` +
        "name them in a terminal with aurl classify";
      return;
    }
    const read = async (file) => ({ name: file.name, content: new DataView(await file.arrayBuffer()) });
    try {
      model.set("files", await Promise.all([...files].map(read)));
      model.save_changes();
    } catch (error) { // a folder, or a file that is gone
      said.textContent = `This cannot be read: ${error.message}`;
    }
  }

  for (const name of ["dragenter", "dragover", "dragleave", "drop"])
    field.addEventListener(name, (event) => {
      event.preventDefault(); // or the browser would open the video in place of the notebook
      event.stopPropagation();
      field.classList.toggle("aurl-over", name === "dragenter" || name === "dragover");
      if (name === "drop") take(event.dataTransfer.files);
    });
  input.addEventListener("change", () => take(input.files));
  model.on("change:files", say);
  say();
}

export default { render };
