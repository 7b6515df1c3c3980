/** To come. */
export default function View() {
  return <h1>submit</h1>;
}
