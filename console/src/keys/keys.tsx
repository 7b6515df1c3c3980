/** To come. */
export default function View() {
  return <h1>keys</h1>;
}
