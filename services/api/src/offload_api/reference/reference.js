// Draws the OpenAPI document of the service that this page comes from. Everything is put in as text, never as markup.

const METHODS = ["get", "post", "put", "patch", "delete"];
const root = new URL("..", import.meta.url);

/** Return an element; strings among its children become text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const code = (text) => make("code", {}, text);
const table = (heads, rows) =>
  make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": heads.join(", ") },
    make("table", {},
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, ...rows)));

/** Return text with what stands between backquotes as code. */
function prose(text) {
  return (text ?? "").split("`").map((part, index) => (index % 2 ? code(part) : part));
}

class Schemas {
  constructor(components) {
    this.known = components.schemas ?? {};
  }

  /** Follow a reference; returns the schema and the name that it has. */
  resolve(schema) {
    const name = schema.$ref?.split("/").pop();
    return name ? [this.known[name] ?? {}, name] : [schema, schema.title ?? ""];
  }

  choices(schema) {
    return schema.oneOf ?? schema.anyOf ?? null;
  }

  /** Return what is said of a schema in a line. */
  line(schema) {
    const [found, name] = this.resolve(schema);
    const choices = this.choices(found);
    if (choices && !(schema.$ref && found.discriminator)) return choices.map((each) => this.line(each)).join(" or ");
    if (found.enum) return found.enum.map((each) => JSON.stringify(each)).join(" | ");
    if ("const" in found) return JSON.stringify(found.const);
    if (found.type === "array") return `array of ${this.line(found.items ?? {})}`;
    if (name) return name;
    const format = found.format ? ` (${found.format})` : "";
    return `${found.type ?? "anything"}${format}`;
  }

  limits(schema) {
    const said = [];
    for (const each of this.choices(schema) ?? [schema]) {
      const [found] = this.resolve(each);
      for (const [key, sign] of [["minimum", "≥"], ["exclusiveMinimum", ">"], ["maximum", "≤"], ["exclusiveMaximum", "<"]])
        if (key in found) said.push(`${sign} ${found[key]}`);
      if ("maxLength" in found) said.push(`${found.minLength ?? 0} to ${found.maxLength} characters`);
      if ("maxItems" in found) said.push(`${found.minItems ?? 0} to ${found.maxItems} items`);
      if ("pattern" in found) said.push(`matches ${found.pattern}`);
    }
    return said.join(", ");
  }

  /** Return the schemas inside of one that have properties or choices of their own. */
  inner(schema) {
    const [found, name] = this.resolve(schema);
    if (found.properties) return [[found, name || "object"]];
    if (found.items) return this.inner(found.items);
    if (found.discriminator) return [[found, name]];
    return (this.choices(found) ?? []).flatMap((each) => this.inner(each));
  }

  /** Return content of a media type, whose schema opens when it is asked for. */
  drawn(media, schema) {
    const label = [`${media}: `, code(this.line(schema))];
    const inside = this.inner(schema);
    if (inside.length === 1) return this.details(inside[0][0], label);
    const details = inside.map(([found, name]) => this.details(found, ["Fields of ", code(name)]));
    return make("div", {}, make("p", {}, ...label), ...details);
  }

  details(schema, label) {
    const details = make("details", {}, make("summary", {}, ...label));
    // Drawn once it is opened: schemas may hold themselves.
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) details.append(this.body(schema));
    });
    return details;
  }

  body(schema) {
    const description = schema.description ? make("p", {}, ...prose(schema.description)) : null;
    const choices = this.choices(schema);
    if (choices) {
      const drawn = choices.flatMap((each) => this.inner(each)).map(([found, name]) => this.details(found, [code(name)]));
      return make("div", { class: "schema" }, description, make("p", {}, "One of these:"), ...drawn);
    }
    const required = new Set(schema.required ?? []);
    const rows = Object.entries(schema.properties ?? {}).flatMap(([name, each]) => this.row(name, each, required.has(name)));
    return make("div", { class: "schema" }, description, table(["Field", "Type", "Meaning"], rows));
  }

  row(name, schema, required) {
    const [found] = this.resolve(schema);
    const described = [schema, found, ...(this.choices(found) ?? [])].map((each) => each.description).find(Boolean);
    const limits = this.limits(found);
    const fallback = "default" in schema && schema.default !== null ? `default ${JSON.stringify(schema.default)}` : "";
    const notes = [limits, fallback].filter(Boolean).join("; ");
    const line = make("tr", {},
      make("th", { scope: "row" }, code(name), required ? make("small", {}, " required") : null),
      make("td", {}, code(this.line(schema))),
      make("td", {},
        described ? make("p", {}, ...prose(described)) : null,
        notes ? make("p", {}, make("small", {}, notes)) : null));
    const inside = this.inner(schema).map(([each, label]) => this.details(each, ["Fields of ", code(label || name)]));
    // Below the line, where there is room for a table.
    return inside.length ? [line, make("tr", { class: "inside" }, make("td", { colspan: "3" }, ...inside))] : [line];
  }

  /** Return a value that fits, of what is required alone. */
  example(schema, depth = 0) {
    const [found] = this.resolve(schema);
    if ("default" in schema) return schema.default;
    if (found.examples?.length) return found.examples[0];
    if (found.enum) return found.enum[0];
    if ("const" in found) return found.const;
    const choices = this.choices(found);
    if (choices) return this.example(choices[0], depth);
    if (found.properties && depth < 6) {
      const names = found.required ?? [];
      return Object.fromEntries(names.map((name) => [name, this.example(found.properties[name], depth + 1)]));
    }
    if (found.type === "array") return found.minItems ? [this.example(found.items ?? {}, depth + 1)] : [];
    return { integer: found.minimum ?? 1, number: found.minimum ?? 1, boolean: false, object: {} }[found.type] ?? "…";
  }
}

const quoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** Return what lets in, each by its scheme's name with its scope, and whether one is asked for: else the list begins with an empty choice. */
function credentials(operation) {
  const choices = operation.security ?? [];
  const named = choices.flatMap((each) => Object.entries(each));
  return { named, required: named.length > 0 && choices.every((each) => Object.keys(each).length > 0) };
}

function asked(operation) {
  const { named, required } = credentials(operation);
  if (!named.length) return null;
  const told = named.map(([scheme, scopes]) => `a ${scheme} with the scope \`${scopes.join("`, `")}\``).join(", or ");
  return make("p", {}, ...prose(`${required ? "Needs" : "Where keys are asked for, needs"} ${told}.`));
}

function curl(path, method, operation, schemas) {
  const given = (operation.parameters ?? []).filter((each) => each.in === "path");
  const filled = given.reduce((made, each) => made.replace(`{${each.name}}`, `$${each.name.toUpperCase()}`), path);
  const address = `"${new URL(filled.slice(1), root).href.replaceAll("%24", "$")}"`;
  const { named, required } = credentials(operation);
  const key = required ? ` -H "Authorization: Bearer $${named[0][0].toUpperCase()}"` : "";
  const parts = [`curl -i ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${address}${key}`];
  const [[media, content] = []] = Object.entries(operation.requestBody?.content ?? {});
  if (media?.endsWith("json")) {
    const [shown] = Object.values(content.examples ?? {});
    const value = shown ? shown.value : schemas.example(content.schema ?? {});
    parts.push(`-H 'Content-Type: ${media}'`, `-d ${quoted(JSON.stringify(value))}`);
  } else if (media) {
    parts.push("-H 'Content-Type: text/csv'", "--data-binary @table.csv");
  }
  return parts.join(" \\\n  ");
}

function parameters(found, schemas) {
  const rows = found.map((each) =>
    make("tr", {},
      make("th", { scope: "row" }, code(each.name), each.required ? make("small", {}, " required") : null),
      make("td", {}, each.in),
      make("td", {}, code(schemas.line(each.schema ?? {}))),
      make("td", {},
        make("p", {}, ...prose(each.description)),
        notes(each.schema ?? {}, schemas))));
  return [make("h4", {}, "Parameters"), table(["Name", "In", "Type", "Meaning"], rows)];
}

function notes(schema, schemas) {
  const fallback = "default" in schema ? `default ${JSON.stringify(schema.default)}` : "";
  const said = [schemas.limits(schema), fallback].filter(Boolean).join("; ");
  return said ? make("p", {}, make("small", {}, said)) : null;
}

function body(content, schemas) {
  const drawn = Object.entries(content).map(([media, each]) => schemas.drawn(media, each.schema ?? {}));
  return [make("h4", {}, "Body"), ...drawn];
}

function answers(responses, components, schemas) {
  const rows = Object.entries(responses).map(([status, each]) => {
    const headers = Object.entries(each.headers ?? {}).map(([name, header]) => {
      const said = header.$ref ? components.headers?.[header.$ref.split("/").pop()] : header;
      return make("p", {}, make("small", {}, code(name), " ", ...prose(said?.description)));
    });
    const content = Object.entries(each.content ?? {}).map(([media, inside]) => schemas.drawn(media, inside.schema ?? {}));
    return make("tr", {},
      make("th", { scope: "row" }, code(status)),
      make("td", {}, make("p", {}, ...prose(each.description)), ...content, ...headers));
  });
  return [make("h4", {}, "Answers"), table(["Status", "Meaning"], rows)];
}

function article(path, method, item, document_, schemas) {
  const operation = item[method];
  const names = method === "get" && item.head ? ["get", "head"] : [method];
  const shown = names.map((each) => make("span", { class: `method ${method}` }, `${each.toUpperCase()} `));
  const found = operation.parameters ?? [];
  const heading = `${operation.operationId}-heading`;
  return make("article", { id: operation.operationId, "aria-labelledby": heading },
    make("h3", { id: heading }, ...shown, path),
    make("p", {}, ...prose(operation.summary)),
    operation.description ? make("p", {}, ...prose(operation.description)) : null,
    asked(operation),
    ...(found.length ? parameters(found, schemas) : []),
    ...(operation.requestBody ? body(operation.requestBody.content, schemas) : []),
    ...answers(operation.responses, document_.components ?? {}, schemas),
    make("h4", {}, "Example"),
    make("pre", { tabindex: "0" }, code(curl(path, method, operation, schemas))));
}

function draw(document_) {
  const schemas = new Schemas(document_.components ?? {});
  document.getElementById("title").textContent = `${document_.info.title} ${document_.info.version}`;
  document.getElementById("description").textContent = document_.info.description ?? "";
  const drawn = [];
  for (const tag of document_.tags) {
    const list = make("ul");
    const section = make("section", { "aria-label": tag.name }, make("h2", {}, tag.name), make("p", {}, ...prose(tag.description)));
    for (const [path, item] of Object.entries(document_.paths))
      for (const method of METHODS.filter((each) => item[each]?.tags.includes(tag.name))) {
        const made = article(path, method, item, document_, schemas);
        const link = make("a", { href: `#${made.id}` }, make("span", { class: `method ${method}` }, `${method.toUpperCase()} `), path);
        const entry = make("li", {}, link);
        section.append(made);
        list.append(entry);
        drawn.push({ words: `${method} ${path} ${item[method].summary} ${made.id}`.toLowerCase(), parts: [made, entry] });
      }
    const group = make("div", {}, make("h2", {}, tag.name), list);
    document.getElementById("index").append(group);
    document.getElementById("operations").append(section);
  }
  return drawn;
}

function filter(drawn) {
  const wanted = document.getElementById("filter").value.trim().toLowerCase().split(/\s+/);
  let count = 0;
  for (const { words, parts } of drawn) {
    const shown = wanted.every((word) => words.includes(word));
    count += shown ? 1 : 0;
    for (const part of parts) part.hidden = !shown;
  }
  for (const group of document.querySelectorAll("#index > div, main > section"))
    group.hidden = !group.querySelector("li:not([hidden]), article:not([hidden])");
  const all = count === drawn.length;
  document.getElementById("found").textContent = all ? `${count} operations` : `${count} of ${drawn.length} operations`;
}

async function start() {
  const state = document.getElementById("state");
  try {
    const answer = await fetch(new URL("schema/openapi.json", root));
    if (!answer.ok) throw new Error(`it was answered ${answer.status}`);
    const drawn = draw(await answer.json());
    state.remove();
    document.getElementById("filter").addEventListener("input", () => filter(drawn));
    filter(drawn);
    // What the address names was not there yet when the browser looked for it.
    if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  } catch (error) {
    state.textContent = `The OpenAPI document could not be shown: ${error.message}.`;
  }
}

start();
